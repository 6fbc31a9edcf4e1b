/** `sluice load`: events at a given rate, and what became of them. */

import { type Command, Option } from 'commander';
import { decimal, exitCodes, whole } from '../arguments.js';
import type { CommandIo } from '../command-io.js';
import { interruptible } from '../interrupt.js';
import { jsonOption, keyOption, urlOption } from '../service-flags.js';
import type { LoadFlags } from './plan.js';

/** Adds `load`. */
export function addLoad(program: Command, io: CommandIo, done: (code: number) => void): void {
  program
    .command('load')
    .description('send events at a given rate, whether or not the answers come, and measure from when each was to be sent')
    .argument('[stream]', 'name of the stream', 'events')
    .addOption(urlOption())
    .addOption(keyOption())
    .option('--rate <n>', 'events a second', decimal('events a second', 0.01, 10_000_000), 1_000)
    .option('--duration <seconds>', 'how long', decimal('seconds', 0.01, 86_400), 10)
    .option('--warmup <seconds>', 'sent before, and not measured', decimal('seconds', 0, 3_600), 0)
    .option('--batch <n>', 'items a request', whole('a number of items', 1, 10_000), 1)
    .option('--bytes <n>', 'bytes an item', whole('bytes', 32, 1_048_576), 200)
    .addOption(
      new Option(
        '--format <format>',
        'json: an object, or an array; ndjson: an object a line (default: json, ndjson for batches)',
      ).choices(['json', 'ndjson']),
    )
    .addOption(
      new Option('--ack <level>', 'wait until events are').choices(['accepted', 'durable', 'committed']).default('durable'),
    )
    .option('--connections <n>', 'connections at most', whole('a number of connections', 1, 10_000), 64)
    .option('--timeout <seconds>', 'an answer that takes longer is lost', decimal('seconds', 0.1, 600), 30)
    .option('--keys <file>', 'API keys, one a line, each with a weight after it if it is not 1; requests take turns')
    .option('--tenants <n>', 'the first so many keys of the file', whole('a number of tenants', 1, 1_000))
    .option('--reads <share>', 'share of the requests that are GET /read, in place of events', decimal('a share', 0, 1), 0)
    .option('--read-keys <n>', 'how many distinct keys the reads ask for', whole('a number of keys', 1, 1_000_000), 200)
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
A latency counts from the moment at which the request was to be sent, not from when it was: waiting for a connection
behind a slow answer is part of it (no coordinated omission). Each event has an id of its own.

Examples:
  sluice load --rate 5000 --duration 30
  sluice load orders --rate 100000 --batch 100 --ack committed
  sluice load --rate 2000 --reads 0.5
  sluice load --rate 1000 --keys keys.txt --json
${exitCodes}`,
    )
    .action(async (stream: string, flags: LoadFlags, command: Command) => {
      const { load } = await import('./load.js');
      const meant = flags.keys !== undefined && command.getOptionValueSource('key') === 'env' ? withoutKey(flags) : flags;
      done(await interruptible((signal) => load({ ...meant, stream, signal, io })));
    });
}

/** What stands on the command line goes before the environment. */
function withoutKey({ key: _ofEnvironment, ...flags }: LoadFlags): LoadFlags {
  return flags;
}
