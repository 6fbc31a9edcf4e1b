/**
 * Admission: which requests are taken, before they cost anything. Every tenant has its rate and its caps; what all together may have
 * under way follows the time that the log takes, and free room is shared so that a tenant who has nothing under way gets in although
 * another one wants everything.
 *
 * The sharing is the dynamic threshold of Choudhury and Hahne (IEEE/ACM Transactions on Networking 6(2), 1998): a tenant may hold at
 * most its share times the room that is free. One that is alone may hold everything; above that is a reserve for whoever holds little, so
 * that a newcomer gets in at once.
 */

import type { Clock } from 'sluice';
import type { Config } from '../config/config.js';
import { createHeldLimit } from './held-limit.js';

/** What a tenant may use; see the configuration. */
export type TenantConfig = Config['tenants'][string];

/** Why a request is not taken now. */
export interface Refused {
  readonly reason: 'rate' | 'requests' | 'items' | 'share' | 'full';
  /** When it is likely to be taken, in milliseconds from now. */
  readonly retryAfterMs: number;
}

/** A request that was let in. */
export interface Entry {
  /** Takes the items of the request; what it answers with refuses them. */
  take(items: number): Refused | undefined;
  /** The items are in the log: they hold nothing any more. */
  stored(): void;
  /** The request has its answer, or is gone. */
  leave(): void;
}

/** What a tenant has under way, what it has had, and what it may have. */
export interface TenantUse {
  readonly tenant: string;
  /** Requests under way. */
  readonly requests: number;
  /** Items on their way into the log. */
  readonly heldItems: number;
  /** Items let in since the start. */
  readonly takenItems: number;
  /** Requests refused since the start. */
  readonly refused: number;
  readonly bounds: TenantConfig;
}

/** Decides who gets in. */
export interface Admission {
  /** `bytes`: of its body, where they are announced. */
  enter(tenant: string, bytes?: number): Entry | Refused;
  /** Items under way of all tenants, and how many there may be now. */
  readonly heldItems: number;
  readonly limit: number;
  /** Refused requests, by reason. */
  readonly refused: ReadonlyMap<Refused['reason'], number>;
  /** Those with bounds of their own, and those that have sent something. */
  tenants(): readonly TenantUse[];
  /** Takes other bounds from now on. What is under way stays. */
  configure(tenants: Config['tenants']): void;
}

/** What an admission is made of. */
export interface AdmissionOptions {
  readonly tenants: Config['tenants'];
  /** Items under way at most, whatever the log takes: its own bound. */
  readonly maxHeldItems: number;
  /** How long items may be on their way into the log before fewer are let in, in milliseconds; less while one tenant crowds others. Default 50. */
  readonly targetMs?: number;
  readonly clock: Clock;
}

/** Above the limit, as a part of it: room for tenants that hold less than that. */
const reserve = 1 / 8;

/** How long the log counts as shared after requests of two tenants, and as crowded after a refusal. */
const lastingMs = 1_000;

/** So many times its share of what the others hold is a crowd, when it wants still more. */
const crowd = 2;

const noBounds: TenantConfig = { share: 1, maxRequests: 20_000, maxHeldItems: Number.POSITIVE_INFINITY };

/** Makes the admission of a gateway. */
export function createAdmission({ tenants: configs, maxHeldItems, targetMs = 50, clock }: AdmissionOptions): Admission {
  let lastSeen: string | undefined;
  let sharedUntil = Number.NEGATIVE_INFINITY;
  let crowder: Tenant | undefined;
  let crowdedUntil = Number.NEGATIVE_INFINITY;
  const held = createHeldLimit({
    // With the reserve on top it is what there may be.
    maxHeldItems: Math.max(1, Math.floor(maxHeldItems / (1 + reserve))),
    ...{ targetMs, clock, isCrowded: () => clock.now() < crowdedUntil },
  });
  const known = new Map<string, Tenant>();
  const refused = new Map<Refused['reason'], number>();
  /** Requests that were stored: until one more is, there is no more room than there was. */
  let storedRequests = 0;
  let bounds = configs;
  // A tenant may be called constructor.
  const boundsOf = (name: string) => (Object.hasOwn(bounds, name) ? bounds[name]! : (bounds['*'] ?? noBounds));
  const tenantOf = (name: string): Tenant => {
    const tenant = known.get(name) ?? new Tenant(name, boundsOf(name), clock);
    known.set(name, tenant);
    return tenant;
  };
  const knowAll = (): void => {
    for (const name of Object.keys(bounds)) if (name !== '*') tenantOf(name);
  };
  knowAll();
  const refuse = (tenant: Tenant, reason: Refused['reason'], retryAfterMs: number): Refused => {
    tenant.refused++;
    refused.set(reason, (refused.get(reason) ?? 0) + 1);
    return { reason, retryAfterMs };
  };

  /** Why `items` more of a tenant are too many; 1 stands for a request whose items are not known yet. */
  function problem(tenant: Tenant, items: number): Refused | undefined {
    const { maxHeldItems: cap, share } = tenant.bounds;
    if (tenant.heldItems > 0 && tenant.heldItems + items > cap) return refuse(tenant, 'items', held.drainMs(tenant.heldItems));
    const spare = reserve * held.limit;
    const most = tenant.heldItems < spare ? held.limit + spare : held.limit;
    if (held.items >= most) return refuse(tenant, 'full', held.drainMs(held.items - most + items));
    const now = clock.now();
    // There is nobody to leave more room for.
    if (tenant.heldItems === 0 || now >= sharedUntil) return undefined;
    const isCrowder = tenant === crowder && now < crowdedUntil;
    const room = share * ((isCrowder ? held.crowdLimit : most) - held.items);
    if (tenant.heldItems + items <= room) return undefined;
    if (tenant.heldItems > crowd * share * (held.items - tenant.heldItems)) {
      crowder = tenant;
      crowdedUntil = now + lastingMs;
    }
    return refuse(tenant, 'share', held.drainMs(tenant.heldItems + items - room));
  }

  return {
    enter(name, bytes = 0) {
      if (name !== lastSeen) {
        if (lastSeen !== undefined) sharedUntil = clock.now() + lastingMs;
        lastSeen = name;
      }
      const tenant = tenantOf(name);
      const wait = tenant.waitMs();
      if (wait > 0) return refuse(tenant, 'rate', wait);
      if (tenant.requests >= tenant.bounds.maxRequests) return refuse(tenant, 'requests', held.drainMs(tenant.heldItems));
      // As large as what was too much just now: that body need not be read.
      const isTooMuch = tenant.tooMuchAt === storedRequests && bytes >= tenant.tooMuch;
      const early = problem(tenant, isTooMuch ? tenant.tooMany : 1);
      if (early !== undefined) return early;
      tenant.requests++;
      let taken = 0;
      let left = false;
      let takenAt = 0;
      const stored = () => {
        if (taken === 0) return;
        storedRequests++;
        tenant.heldItems -= taken;
        held.give(taken, takenAt);
        taken = 0;
      };
      return {
        take(items) {
          const late = problem(tenant, items);
          if (late !== undefined) {
            tenant.tooMany = items;
            tenant.tooMuch = bytes > 0 ? bytes : Number.POSITIVE_INFINITY;
            tenant.tooMuchAt = storedRequests;
            return late;
          }
          tenant.charge(items);
          tenant.heldItems += items;
          tenant.takenItems += items;
          taken = items;
          takenAt = held.take(items);
          return undefined;
        },
        stored,
        leave() {
          if (left) return;
          left = true;
          stored();
          tenant.requests--;
        },
      };
    },
    get heldItems() {
      return held.items;
    },
    get limit() {
      return held.limit;
    },
    refused,
    tenants: () =>
      [...known.values()].map(({ name, requests, heldItems, takenItems, refused, bounds }) => ({
        ...{ tenant: name, requests, heldItems, takenItems, refused, bounds },
      })),
    configure(configs) {
      bounds = configs;
      knowAll();
      for (const tenant of known.values()) tenant.bounds = boundsOf(tenant.name);
    },
  };
}

/** A tenant's bucket and what it has under way. The bucket may go into debt by one request: how large that is is known too late. */
class Tenant {
  readonly name: string;
  bounds: TenantConfig;
  requests = 0;
  heldItems = 0;
  takenItems = 0;
  refused = 0;
  /** The items and the bytes of the last request that was read in vain, and how many requests had been stored by then. */
  tooMany = 1;
  tooMuch = Number.POSITIVE_INFINITY;
  tooMuchAt = -1;
  readonly #clock: Clock;
  #tokens: number;
  #filledAt: number;

  constructor(name: string, bounds: TenantConfig, clock: Clock) {
    this.name = name;
    this.bounds = bounds;
    this.#clock = clock;
    this.#tokens = this.#burst();
    this.#filledAt = clock.now();
  }

  /** Until the bucket is out of debt; 0 when it is. */
  waitMs(): number {
    const { itemsPerSecond } = this.bounds;
    if (itemsPerSecond === undefined) return 0;
    const now = this.#clock.now();
    this.#tokens = Math.min(this.#burst(), this.#tokens + ((now - this.#filledAt) / 1_000) * itemsPerSecond);
    this.#filledAt = now;
    return this.#tokens > 0 ? 0 : Math.max(1, (-this.#tokens / itemsPerSecond) * 1_000);
  }

  charge(items: number): void {
    if (this.bounds.itemsPerSecond !== undefined) this.#tokens -= items;
  }

  #burst(): number {
    return this.bounds.burst ?? Math.max(1, this.bounds.itemsPerSecond ?? 1);
  }
}
