/** `sluice tenants`: what tenants may send, what they have under way, and how often they were refused. */

import type { TenantUse } from '../../gateway/admission.js';
import type { CommandIo } from '../command-io.js';
import { withControl } from '../control-client.js';
import { type Ink, inkFor } from '../ink.js';
import { counted } from '../log/print.js';
import type { ControlFlags } from '../service-flags.js';
import { table } from '../table.js';

/** What the control plane tells of tenants. In JSON there is no number for a bound that does not exist. */
interface TenantsAnswer {
  /** Items of all tenants that may be on their way into the log, and that are. */
  readonly limit: number;
  readonly heldItems: number;
  readonly tenants: readonly TenantAnswer[];
}

type Bounds = TenantUse['bounds'];
type TenantAnswer = Omit<TenantUse, 'bounds'> & { readonly bounds: { readonly [K in keyof Bounds]: Bounds[K] | null } };

/** Prints the tenants; resolves with the exit code. */
export function tenants({ io, ...flags }: ControlFlags & { readonly io: CommandIo }): Promise<number> {
  return withControl(flags, async (control) => {
    const answer = await control.ask<TenantsAnswer>('GET', '/v1/tenants', 'tenants');
    if (flags.json) io.stdout.write(`${JSON.stringify(answer)}\n`);
    else if (answer.tenants.length === 0) io.stdout.write('No tenant has sent anything yet, and none has bounds of its own.\n');
    else io.stdout.write(tenantTable(answer.tenants, inkFor(io.stdout)) + sumText(answer));
    return 0;
  });
}

function tenantTable(found: readonly TenantAnswer[], ink: Ink): string {
  return table<TenantAnswer>(
    [
      { title: 'TENANT', cell: ({ tenant }) => tenant },
      { title: 'RATE', cell: ({ bounds }) => (bounds.itemsPerSecond == null ? '-' : `${bounds.itemsPerSecond}/s`) },
      { title: 'SHARE', cell: ({ bounds }) => bounds.share ?? 1 },
      { title: 'REQUESTS', cell: ({ requests }) => requests },
      { title: 'HELD', cell: ({ heldItems }) => heldItems },
      { title: 'LET IN', cell: ({ takenItems }) => takenItems },
      {
        title: 'REFUSED',
        cell: ({ refused }) => refused,
        ink: (text, { refused }) => (refused > 0 ? ink.worth(text) : text),
      },
    ],
    found,
  );
}

function sumText({ limit, heldItems }: TenantsAnswer): string {
  return `${counted(heldItems, 'item')} of all tenants on the way into the log; ${limit.toLocaleString('en')} may be.\n`;
}
