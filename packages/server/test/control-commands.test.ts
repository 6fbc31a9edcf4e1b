/** `sluice streams`, `lag`, `tenants`, `pipelines`, `reload` and `drain` against a service in this process. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { useServers } from '../../../test/servers.js';
import { makeKey } from '../src/gateway/caller.js';
import { sluice, useRunning } from './support/running.js';

const world = useRunning();
const servers = useServers();
const kept = 'streams: { events: { retention: { maxAgeMs: 3600000 } } }';
const pipeline = '{ stream: events, sink: { type: file, dir: out }, window: { maxDelayMs: 5 } }';
const lines = (text: string) => text.trimEnd().split('\n');

async function delivered(): Promise<void> {
  await expect.poll(async () => JSON.parse((await world.control('pipelines', 'show', 'p', '--json')).out).lag.items).toBe(0);
}

describe('streams and lag', () => {
  it('are aligned tables, and one JSON document with --json', async () => {
    await world.start(`${kept}\npipelines: { p: ${pipeline} }`);
    expect((await world.control('streams')).out).toMatch(/^STREAM .*\nevents +0 +0 +0 +0 /);
    await world.post([1, 2, 3]);
    await delivered();
    const streams = await world.control('streams');
    expect([streams.code, streams.err]).toEqual([0, '']);
    expect(lines(streams.out)).toEqual([
      expect.stringMatching(/^STREAM +PARTITION +RECORDS +FIRST +NEXT +STORED +OLDEST$/),
      expect.stringMatching(/^events +0 +3 +0 +3 +\d+ bytes +\d+ ms$/),
    ]);
    expect(JSON.parse((await world.control('streams', '--json')).out).streams).toMatchObject([
      { stream: 'events', nextOffset: 3 },
    ]);
    const lag = await world.control('lag', '--stream', 'events');
    expect(lines(lag.out)[1]).toMatch(/^p +events +0 +0 +0 bytes +- +3 +0 +yes$/);
  });

  it('the lag of a stream that does not exist is a failure, which names those that there are', async () => {
    await world.start(`${kept}\npipelines: { p: ${pipeline} }`);
    const err = 'sluice lag: there is no stream of this name; there is events.\n';
    expect(await world.control('lag', '--stream', 'nope')).toEqual({ code: 1, out: '', err });
    expect(await world.control('lag', '--stream', 'events', '--group', 'nope')).toMatchObject({ code: 0, err: '' });
  });

  it('a check of a group that is not there fails, for it would never find anything', async () => {
    await world.start(`${kept}\npipelines: { p: ${pipeline} }`);
    const none = 'No group of this name reads the stream events.\n';
    const err = `sluice lag: there is nothing to hold against --most. ${none}`;
    const call = ['lag', '--stream', 'events', '--group', 'nope', '--most', '9'];
    expect(await world.control(...call)).toEqual({ code: 1, out: none, err });
    expect(await world.control(...call, '--json')).toEqual({ code: 1, out: '{"groups":[]}\n', err });
    expect((await world.control('lag', '--group', 'p', '--most', '9')).code).toBe(0);
  });

  it('the lag of a paused pipeline is told, and is a failure above --most', async () => {
    await world.start(`pipelines: { p: ${pipeline} }`);
    await world.control('pipelines', 'pause', 'p');
    await world.post([1, 2, 3]);
    const { code, out, err } = await world.control('lag', '--most', '2', '--json');
    expect([code, err]).toEqual([1, 'sluice lag: the group p of events is 3 records behind, more than 2.\n']);
    expect(JSON.parse(out).groups).toMatchObject([{ group: 'p', lag: { items: 3 } }]);
    expect((await world.control('lag', '--most', '3')).code).toBe(0);
  });
});

describe('tenants', () => {
  it('R-106: are told with their rate, their share, what they have under way, and how often they were refused', async () => {
    const keys = { shop: makeKey('shop'), ops: makeKey('ops') };
    await world.start(`
keys:
  - { id: shop, tenant: shop, hash: "${keys.shop.hash}" }
  - { id: ops, tenant: ops, scopes: [admin], hash: "${keys.ops.hash}" }
tenants: { shop: { itemsPerSecond: 0.001, burst: 2, share: 0.5 }, later: { itemsPerSecond: 7 } }
pipelines: { p: ${pipeline} }`);
    const admin = ['--key', keys.ops.key];
    const authorization = `Bearer ${keys.shop.key}`;
    await world.post([1, 2, 3], 'events', { authorization });
    await expect(world.post([4], 'events', { authorization })).rejects.toThrow('429');
    expect(lines((await world.control('tenants', ...admin)).out)).toEqual([
      expect.stringMatching(/^TENANT +RATE +SHARE +REQUESTS +HELD +LET IN +REFUSED$/),
      expect.stringMatching(/^shop +0\.001\/s +0\.5 +0 +0 +3 +1$/),
      expect.stringMatching(/^later +7\/s +1 +0 +0 +0 +0$/),
      expect.stringMatching(/^0 items of all tenants on the way into the log; [\d,]+ may be\.$/),
    ]);
    const { tenants } = JSON.parse((await world.control('tenants', '--json', ...admin)).out);
    expect(tenants[0]).toMatchObject({ tenant: 'shop', takenItems: 3, refused: 1, bounds: { share: 0.5, maxRequests: 1000 } });
  });

  it('say that nobody has sent anything yet', async () => {
    await world.start(`pipelines: { p: ${pipeline} }`);
    expect((await world.control('tenants')).out).toBe('No tenant has sent anything yet, and none has bounds of its own.\n');
    await world.post([1]);
    expect(lines((await world.control('tenants')).out)[1]).toMatch(/^_ +- +1 +0 +0 +1 +0$/);
  });
});

describe('pipelines', () => {
  it('R-218: are listed, paused, resumed and replayed', async () => {
    await world.start(`${kept}\npipelines: { p: ${pipeline} }`);
    await world.post([1, 2]);
    await delivered();
    expect(lines((await world.control('pipelines', 'ls')).out)[1]).toMatch(/^p +events +running +0 +- +2 +0$/);
    expect((await world.control('pipelines', 'pause', 'p')).out).toMatch(/^state +paused$/m);
    await world.control('pipelines', 'seek', 'p', '--to', 'start', '--partition', '0');
    expect((await world.control('pipelines', 'show', 'p')).out).toMatch(/^behind +2 records \(\d+ bytes, the oldest \d+ m?s\)$/m);
    expect(JSON.parse((await world.control('pipelines', 'resume', 'p', '--json')).out)).toMatchObject({
      name: 'p',
      state: 'running',
    });
    await delivered();
    expect(JSON.parse((await world.control('pipelines', 'ls', '--json')).out).pipelines[0].tally.ok).toBe(4);
    expect((await world.control('pipelines', 'skip-damage', 'p')).out).toBe('No partition is damaged; nothing was skipped.\n');
  });

  it('a partition whose place is not read yet has no cursor, rather than 0', async () => {
    await world.start(`${kept}\npipelines: { p: ${pipeline} }`);
    await world.post([1, 2]);
    await delivered();
    const { out } = await world.control('pipelines', 'seek', 'p', '--to', 'end');
    expect(out).toMatch(/^ +0 +(starting +-|reading +2) +0$/m);
  });

  it('a seek says where each partition stands now, and when it is not where it was sent', async () => {
    const two = 'other: { partitions: 2, key: n, retention: { maxAgeMs: 3600000 } }';
    const other = pipeline.replace('events', 'other');
    await world.start(`streams: { ${two} }\npipelines: { p: ${pipeline}, q: ${other} }`);
    await world.post([1, 2]);
    await world.post(
      Array.from({ length: 40 }, (_, id) => id),
      'other',
    );
    await delivered();
    const removed = await world.control('pipelines', 'seek', 'p', '--to', 'start');
    expect([removed.code, lines(removed.out)[0]]).toEqual([
      0,
      'Partition 0 stands at offset 2, the end; offset 0 is no longer stored (the retention of the stream says what is): what comes is delivered, and nothing again.',
    ]);
    const byTime = await world.control('pipelines', 'seek', 'p', '--to', '2020-01-01T00:00:00Z');
    expect(lines(byTime.out)[0]).toMatch(/^Partition 0 stands at offset 2, the end; what came before it is no longer stored/);
    const stored = await world.control('pipelines', 'seek', 'q', '--to', '1');
    expect(lines(stored.out).slice(0, 2)).toEqual([
      expect.stringMatching(/^Partition 0 stands at offset 1: \d+ records to deliver\.$/),
      expect.stringMatching(/^Partition 1 stands at offset 1: \d+ records to deliver\.$/),
    ]);
    const answer = JSON.parse((await world.control('pipelines', 'seek', 'q', '--to', 'start', '--partition', '1', '--json')).out);
    expect(answer.sought).toEqual([{ partition: 1, offset: 0, firstOffset: 0, nextOffset: expect.any(Number) }]);
  });

  it('a seek past the end of a partition is refused, and moves nothing', async () => {
    const two = 'other: { partitions: 2, retention: { maxAgeMs: 3600000 } }';
    const kept = `streams: { events: { retention: { maxAgeMs: 3600000 } }, ${two} }`;
    await world.start(`${kept}\npipelines: { p: ${pipeline}, q: ${pipeline.replace('events', 'other')} }`);
    await world.post([1, 2]);
    await delivered();
    expect(await world.control('pipelines', 'seek', 'p', '--to', '3')).toEqual({
      code: 1,
      out: '',
      err: 'sluice pipelines: partition 0 ends before offset 3: its next record gets 2; nothing was moved; give an offset up to that, or end.\n',
    });
    expect((await world.control('pipelines', 'seek', 'q', '--to', '7')).err).toMatch(
      /its next record gets 0; nothing was moved; give an offset up to that, or end, or name one partition alone\.\n$/,
    );
    expect(JSON.parse((await world.control('pipelines', 'show', 'p', '--json')).out).partitions[0].cursor).toBe(2);
    const end = await world.control('pipelines', 'seek', 'p', '--to', '2');
    expect([end.code, lines(end.out)[0]]).toEqual([
      0,
      'Partition 0 stands at offset 2, the end: what comes is delivered, and nothing again.',
    ]);
  });

  it('an unknown one is a failure with what there is; a place that is none is a wrong call', async () => {
    await world.start(`pipelines: { p: ${pipeline} }`);
    expect(await world.control('pipelines', 'pause', 'x/../y')).toEqual({
      code: 1,
      out: '',
      err: 'sluice pipelines: there is no pipeline of this name; there is p.\n',
    });
    expect((await world.control('pipelines', 'seek', 'p', '--to', 'yesterday')).code).toBe(2);
    expect((await world.control('pipelines', 'seek', 'p')).code).toBe(2);
  });
});

describe('reload', () => {
  it('shows the diff, applies it, and takes it back', async () => {
    await world.start(`pipelines: { p: ${pipeline} }`);
    expect((await world.control('reload')).out).toBe('No option has changed.\n');
    world.write('sluice.config.yaml', `gateway: { maxItems: 2 }\nlog: { maxHeldItems: 5 }\npipelines: { p: ${pipeline} }`);
    const diff = '~ gateway.maxItems: 10000 → 2\n~ log.maxHeldItems: 100000 → 5   (after a restart)\n';
    const counts = '2 changes; 1 of them only after a restart';
    expect((await world.control('reload', '--dry-run')).out).toBe(`${diff}${counts}. Nothing was applied.\n`);
    await world.post([1, 2, 3]);
    expect(await world.control('reload')).toEqual({ code: 0, out: `${diff}Applied ${counts}.\n`, err: '' });
    await expect(world.post([4, 5, 6])).rejects.toThrow('413');
    expect(JSON.parse((await world.control('reload', '--undo', '--json')).out)).toMatchObject({ applied: true });
    await world.post([4, 5, 6]);
  });

  it('tells what earlier reloads have left for a restart, until it is undone', async () => {
    await world.start(`pipelines: { p: ${pipeline} }`);
    const file = (log: string, gateway = '') =>
      world.write('sluice.config.yaml', `${gateway}log: { ${log} }\npipelines: { p: ${pipeline} }`);
    file('maxHeldItems: 5');
    await world.control('reload');
    const due = '~ log.maxHeldItems: 100000 → 5   (after a restart)';
    const waits = `From earlier reloads, and not in use before a restart:\n${due}\n`;
    expect((await world.control('reload')).out).toBe(`No option has changed.\n${waits}`);
    file('maxHeldItems: 5', 'gateway: { maxItems: 2 }\n');
    const dry = (await world.control('reload', '--dry-run')).out;
    expect(dry).toBe(`~ gateway.maxItems: 10000 → 2\n1 change. Nothing was applied.\n${waits}`);
    expect(JSON.parse((await world.control('reload', '--json')).out)).toMatchObject({
      changes: [{ path: 'gateway.maxItems' }],
      restartDue: [{ path: 'log.maxHeldItems', needsRestart: true, text: due }],
    });
    // Back to what runs: that needs no restart.
    file('maxHeldItems: 100000', 'gateway: { maxItems: 2 }\n');
    expect((await world.control('reload')).out).toBe('~ log.maxHeldItems: 5 → 100000\nApplied 1 change.\n');
    expect((await world.control('reload')).out).toBe('No option has changed.\n');
    expect((await world.control('reload', '--undo')).out).toMatch(/\(after a restart\)\nApplied 1 change; 1 of them only after/);
  });

  it('of a file that is wrong changes nothing, and says where it is wrong', async () => {
    await world.start(`pipelines: { p: ${pipeline} }`);
    world.write('sluice.config.yaml', 'pipelines: { p: { sink: { type: nonsense } } }');
    const { code, err } = await world.control('reload');
    expect([code, err]).toEqual([1, expect.stringContaining('sluice.config.yaml:1:27')]);
    expect(await world.control('reload', '--undo')).toMatchObject({
      code: 1,
      err: expect.stringContaining('nothing was changed'),
    });
    expect((await world.control('reload', '--undo', '--dry-run')).code).toBe(2);
  });
});

describe('drain', () => {
  it('asks the service to stop, and --wait returns when it has', async () => {
    const service = await world.start(`pipelines: { p: ${pipeline} }`);
    await world.post([1, 2, 3]);
    const drained = world.control('drain', '--wait', '--json');
    await service.drainWanted;
    await service.stop(5_000);
    expect(await drained).toEqual({ code: 0, out: '{"draining":true,"stopped":true}\n', err: '' });
  });

  it('--wait returns once the data folder is free, not while the service still closes', async () => {
    const service = await world.start(`pipelines: { p: ${pipeline} }`);
    const close = service.log.close.bind(service.log);
    let closes!: () => void;
    const closing = new Promise<void>((resolve) => {
      closes = resolve;
    });
    let goOn!: () => void;
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    service.log.close = async () => {
      closes();
      await held;
      await close();
    };
    let isBack = false;
    const drained = world.control('drain', '--wait', '--json').finally(() => {
      isBack = true;
    });
    await service.drainWanted;
    const stopped = service.stop(20_000);
    await closing;
    expect((await fetch(`${service.controlUrl}/healthz`)).status).toBe(200);
    expect(await (await fetch(`${service.controlUrl}/v1/groups`)).json()).toMatchObject({ error: { code: 'SHUTTING_DOWN' } });
    expect(isBack).toBe(false);
    goOn();
    expect(await drained).toMatchObject({ code: 0 });
    expect(existsSync(join(service.dataDir, 'sluice.lock'))).toBe(false);
    await stopped;
  });

  it('without --wait it returns at once', async () => {
    await world.start(`pipelines: { p: ${pipeline} }`);
    const { code, out } = await world.control('drain');
    expect([code, out]).toEqual([0, expect.stringMatching(/^The service at http:.* drains; its own output has the report/)]);
  });
});

describe('a control plane', () => {
  it('R-214: that does not answer is one sentence', async () => {
    const url = await servers.gone();
    expect(await sluice('lag', '--control', url)).toEqual({
      code: 1,
      out: '',
      err: `sluice lag: nothing answers at ${url}; start \`sluice up\` there, or give another address with --control.\n`,
    });
  });

  it('is told from a gateway, and from any other server', async () => {
    const service = await world.start(`pipelines: { p: ${pipeline} }`);
    const gateway = await sluice('streams', '--control', service.url);
    expect([gateway.code, gateway.err]).toEqual([
      1,
      expect.stringContaining('is not a control plane of Sluice (it answered 404)'),
    ]);
    const url = await servers.start((_, response) => response.end('<html>'));
    const other = await sluice('streams', '--control', url);
    expect(other.err).toContain('is not a control plane of Sluice (it answered 200)');
  });

  it('behind a prefix is found there', async () => {
    const seen: (string | undefined)[] = [];
    const url = await servers.start((request, response) => {
      seen.push(request.url);
      response.end('{"streams":[]}');
    });
    expect((await sluice('streams', '--control', `${url}/ops/`)).out).toMatch(/^There are no streams yet/);
    expect(seen).toEqual(['/ops/v1/streams']);
  });

  it('wants a key, by flag or SLUICE_KEY; nothing prints it', async () => {
    const { key, hash } = makeKey('ops');
    await world.start(`keys: [{ id: ops, tenant: ops, scopes: [admin], hash: "${hash}" }]\npipelines: { p: ${pipeline} }`);
    const without = await world.control('streams');
    expect(without).toMatchObject({ code: 1, err: expect.stringContaining('give it with --key, or in SLUICE_KEY') });
    expect((await world.control('streams', '--key', key)).code).toBe(0);
    vi.stubEnv('SLUICE_KEY', key);
    try {
      expect((await world.control('streams')).code).toBe(0);
      expect((await world.control('streams', '--help')).out).not.toContain(key);
      vi.stubEnv('SLUICE_KEY', 'not one\nkey');
      const wrong = await world.control('streams');
      expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('without spaces')]);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it.each(['ftp://x', 'localhost:8081', 'http://me:s3cret@host'])(
    'at %s is a wrong call, without printing a password',
    async (url) => {
      const { code, err } = await sluice('streams', '--control', url);
      expect([code, err]).toEqual([2, expect.stringContaining('Expected an http or https address')]);
    },
  );
});
