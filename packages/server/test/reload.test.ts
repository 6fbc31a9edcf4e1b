/** A service in this process, with file sinks: its configuration changed while events come in. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { failure } from 'sluice';
import { describe, expect, it, vi } from 'vitest';
import { useRunning } from './support/running.js';

// biome-ignore lint/suspicious/noExplicitAny: answers are looked at field by field
type Answer = any;

const world = useRunning();

const pipeline = (fields = '') => `{ stream: events, sink: { type: file, dir: out }, window: { maxDelayMs: 5 } ${fields} }`;
const write = (text: string) => world.write('sluice.config.yaml', text);

const control = async (path: string, method = 'GET') => {
  const response = await fetch(`${world.service.controlUrl}${path}`, { method });
  return { status: response.status, body: (await response.json()) as Answer };
};

async function post(ids: readonly number[], stream = 'events'): Promise<number> {
  const body = ids.map((id) => JSON.stringify({ id })).join('\n');
  const headers = { 'content-type': 'application/x-ndjson' };
  return (await fetch(`${world.service.url}/v1/streams/${stream}/events`, { method: 'POST', body, headers })).status;
}

/** The ids of all lines in the complete files of a folder, once the service has stopped. */
function written(name = 'out'): number[] {
  return readdirSync(join(world.folder, name))
    .filter((file) => file.endsWith('.ndjson'))
    .flatMap((file) =>
      readFileSync(join(world.folder, name, file), 'utf8')
        .trim()
        .split('\n'),
    )
    .map((line) => JSON.parse(line).id as number)
    .sort((a, b) => a - b);
}

describe('a reload', () => {
  it('does not wait for the next try of a sink that is blocked: what it has stays in the log', async () => {
    world.write(
      'blocked.mjs',
      "export default () => { throw Object.assign(new Error('wrong password'), { class: 'blocked', code: 'NO_ACCESS' }); };",
    );
    const blocked =
      'stream: events, sink: { type: module, handler: ./blocked.mjs }, retry: { baseMs: 600000, maxDelayMs: 600000 }';
    await world.start(`pipelines: { p: { ${blocked}, window: { maxDelayMs: 5 } } }`);
    await post([1, 2, 3]);
    await expect.poll(async () => (await control('/v1/pipelines/p')).body.failure?.code).toBe('NO_ACCESS');
    write(`pipelines: { p: ${pipeline()} }`);
    // Well before the 30 s that a hand-over may take.
    const reloaded = await Promise.race([
      control('/v1/config/reload', 'POST'),
      new Promise((resolve) => setTimeout(resolve, 20_000)),
    ]);
    expect(reloaded).toMatchObject({ status: 200, body: { applied: true } });
    expect(await world.service.stop(10_000)).toMatchObject({ lost: 0, leftInLog: 0, delivered: 3 });
    expect(written()).toEqual([1, 2, 3]);
  });

  it('keeps a pipeline in the list while its sink answers the calls under way, and lets nobody else change it then', async () => {
    const shared = globalThis as { sluiceReloadAnswers?: Promise<void> };
    let answer!: () => void;
    shared.sluiceReloadAnswers = new Promise((resolve) => {
      answer = resolve;
    });
    world.write('slow.mjs', 'export default () => globalThis.sluiceReloadAnswers;');
    const slow = 'stream: events, sink: { type: module, handler: ./slow.mjs }, window: { maxDelayMs: 5 }';
    await world.start(`pipelines: { p: { ${slow} } }`);
    await post([1, 2, 3]);
    await expect.poll(async () => (await control('/v1/pipelines/p')).body.tally.inFlight).toBe(3);
    write(`pipelines: { p: { ${slow}, maxItems: 7 } }`);
    const reloaded = control('/v1/config/reload', 'POST');
    await expect.poll(async () => (await control('/v1/pipelines')).body.pipelines[0]?.state).toBe('changing');
    expect((await control('/v1/pipelines/p')).body).toMatchObject({ name: 'p', lag: { items: 3 }, tally: { inFlight: 3 } });
    expect((await control('/v1/pipelines/p/pause', 'POST')).body.error.code).toBe('PIPELINE_CHANGING');
    expect(await (await fetch(`${world.service.controlUrl}/metrics`)).text()).toMatch(
      /^sluice_pipeline_delivering\{pipeline="p"\} 0$/m,
    );
    answer();
    expect((await reloaded).status).toBe(200);
    const { pipelines } = (await control('/v1/pipelines')).body;
    expect(pipelines).toMatchObject([{ name: 'p', state: 'running', lag: { items: 0 } }]);
    delete shared.sluiceReloadAnswers;
    expect(await world.service.stop(5_000)).toMatchObject({ delivered: 3, leftInLog: 0 });
  });

  it('changes windows and sizes while events come in, and neither loses nor doubles one', async () => {
    await world.start(`pipelines: { p: ${pipeline()} }`);
    let sending = true;
    let sent = 0;
    const sender = (async () => {
      while (sending) {
        expect(await post(Array.from({ length: 20 }, (_, i) => sent + i))).toBe(200);
        sent += 20;
      }
    })();
    for (const fields of [', maxItems: 7', ', maxItems: 500, maxInFlight: 1', ', shards: 2', ', timeoutMs: 1000']) {
      write(`pipelines: { p: ${pipeline(fields)} }`);
      const { status, body } = await control('/v1/config/reload', 'POST');
      expect([status, body.applied]).toEqual([200, true]);
    }
    sending = false;
    await sender;
    const report = await world.service.stop(10_000);
    expect(report).toMatchObject({ lost: 0, leftInLog: 0, delivered: sent });
    expect(written()).toEqual(Array.from({ length: sent }, (_, i) => i));
  });

  it('is shown first, and does nothing then; what needs a restart is named', async () => {
    await world.start(`pipelines: { p: ${pipeline()} }`);
    write(`gateway: { maxItems: 3 }\nlog: { maxHeldItems: 5 }\npipelines: { p: ${pipeline()} }`);
    const shown = (await control('/v1/config/reload?dry=true', 'POST')).body as unknown as {
      applied: boolean;
      changes: { text: string }[];
    };
    expect(shown.applied).toBe(false);
    expect(shown.changes.map(({ text }: Answer) => text)).toEqual([
      '~ gateway.maxItems: 10000 → 3',
      '~ log.maxHeldItems: 100000 → 5   (after a restart)',
    ]);
    expect(await post([1, 2, 3, 4])).toBe(200);
    await control('/v1/config/reload', 'POST');
    expect(await post([1, 2, 3, 4])).toBe(413);
  });

  it('takes functions anew, since what they use may be another, and says so; a pipeline without any goes on', async () => {
    const text = (maxItems: number) => `
gateway: { maxItems: ${maxItems} }
streams: { events: { retention: { maxAgeMs: 3600000 } } }
pipelines:
  plain: ${pipeline()}
  code: { stream: events, sink: { type: module, handler: ./take.mjs }, filter: './take.mjs#some', window: { maxDelayMs: 5 } }`;
    const shared = globalThis as { sluiceTaken?: string[] };
    shared.sluiceTaken = [];
    const module = (word: string) =>
      world.write(
        'take.mjs',
        `export default (events) => void globalThis.sluiceTaken.push(...events.map(({ data }) => '${word} ' + data.id)); export const some = () => true;`,
      );
    module('first');
    await world.start(text(100));
    const [plain, code] = world.service.pipelines.all;
    await post([1]);
    await expect.poll(() => shared.sluiceTaken).toEqual(['first 1']);
    module('second');
    write(text(99));
    const { changes } = (await control('/v1/config/reload', 'POST')).body;
    expect(changes.map(({ text }: Answer) => text).sort()).toEqual([
      '~ gateway.maxItems: 100 → 99',
      '~ pipelines.code.filter: "./take.mjs#some", taken anew',
      '~ pipelines.code.sink.handler: "./take.mjs", taken anew',
    ]);
    await post([2]);
    await expect.poll(() => shared.sluiceTaken).toEqual(['first 1', 'second 2']);
    const now = world.service.pipelines.all;
    expect([now.includes(plain!), now.includes(code!)]).toEqual([true, false]);
    delete shared.sluiceTaken;
  });

  it('that was to be shown only is not taken because of a slip', async () => {
    await world.start(`pipelines: { p: ${pipeline()} }`);
    write(`gateway: { maxItems: 3 }\npipelines: { p: ${pipeline()} }`);
    const slips = ['/v1/config/reload?dri=true', '/v1/config/reload?dry=yes', '/v1/config/undo?dry=true'];
    const answers = await Promise.all(slips.map((path) => control(path, 'POST')));
    expect(answers.map(({ status, body }) => [status, body.error.code])).toEqual([
      [400, 'UNKNOWN_PARAMETER'],
      [400, 'INVALID_QUERY'],
      [400, 'UNKNOWN_PARAMETER'],
    ]);
    expect(answers[0]!.body.error.message).toContain('did you mean dry?');
    expect(await post([1, 2, 3, 4])).toBe(200);
  });

  it('that is wrong changes nothing, and says why', async () => {
    await world.start(`pipelines: { p: ${pipeline()} }`);
    write('pipelines: { p: { sink: { type: nonsense } } }');
    const refused = await control('/v1/config/reload', 'POST');
    expect([refused.status, refused.body.error]).toEqual([
      400,
      { code: 'INVALID_CONFIG', message: expect.stringContaining('sluice.config.yaml:1:27') },
    ]);
    write(
      `gateway: { maxItems: 1 }\npipelines: { p: ${pipeline()}, q: { stream: events, sink: { type: module, handler: ./none.js } } }`,
    );
    expect(await control('/v1/config/reload', 'POST')).toMatchObject({ status: 400 });
    expect(await post([1, 2])).toBe(200);
    expect((await world.service.stop(5_000)).delivered).toBe(2);
  });

  it('whose code cannot be run stops no pipeline; one whose sink cannot be opened leaves the others with the code that they had', async () => {
    const code = (name: string) =>
      `${name}: { stream: ${name}, map: ./map.mjs, sink: { type: file, dir: ${name} }, window: { maxDelayMs: 5 } }`;
    world.write('map.mjs', 'export default ({ data }) => ({ id: data.id });');
    await world.start(`pipelines: { ${code('p')}, ${code('q')} }`);
    const before = world.service.pipelines.all;
    world.write('map.mjs', 'export default ((');
    const refused = await control('/v1/config/reload', 'POST');
    expect([refused.status, refused.body.error.message]).toEqual([400, expect.stringContaining('map.mjs cannot be loaded')]);
    expect(world.service.pipelines.all.map((one, at) => one === before[at])).toEqual([true, true]);
    // A module that loads once more, and no longer.
    const shared = globalThis as { sluiceLoads?: number };
    shared.sluiceLoads = 0;
    world.write(
      'map.mjs',
      "if (++globalThis.sluiceLoads > 2) throw new Error('not again'); export default ({ data }) => ({ id: data.id + 100 });",
    );
    const noDatabase = 'sink: { type: postgres, table: t }';
    write(`pipelines: { ${code('p')}, q: { stream: q, map: ./map.mjs, ${noDatabase} } }`);
    expect((await control('/v1/config/reload', 'POST')).status).toBe(400);
    delete shared.sluiceLoads;
    expect((await control('/v1/pipelines')).body.pipelines).toMatchObject([{ state: 'running' }, { state: 'running' }]);
    await post([1], 'p');
    await post([2], 'q');
    expect(await world.service.stop(5_000)).toMatchObject({ delivered: 2, unread: 0 });
    expect(written('q')).toEqual([2]);
  });

  it('that fails gives every pipeline the code back that it had, though its module has changed', async () => {
    const code = 'p: { stream: p, map: ./map.mjs, sink: { type: file, dir: p }, window: { maxDelayMs: 5 } }';
    world.write('map.mjs', 'export default ({ data }) => ({ id: data.id });');
    await world.start(`pipelines: { ${code} }`);
    world.write('map.mjs', 'export default ({ data }) => ({ id: data.id + 100 });');
    write(`pipelines: { ${code}, q: { sink: { type: postgres } } }`);
    const refused = await control('/v1/config/reload', 'POST');
    expect([refused.status, refused.body.error.message]).toEqual([400, expect.stringContaining('PostgreSQL')]);
    await post([1], 'p');
    expect(await world.service.stop(5_000)).toMatchObject({ delivered: 1, leftInLog: 0 });
    expect(written('p')).toEqual([1]);
  });

  it('that fails, and cannot be taken back, keeps the pipelines in the list and in /readyz until one succeeds', async () => {
    await world.start(`pipelines: { p: ${pipeline()}, gone: ${pipeline(', group: gone')} }`);
    await post([1]);
    const settings = vi
      .spyOn(world.service.log, 'streamSettings')
      .mockRejectedValue(failure('it is down', { code: 'STORE_FAILED' }));
    settings.mockRejectedValueOnce(failure('the first of them', { code: 'NO_ROOM', class: 'rejected' }));
    write(`pipelines: { p: ${pipeline(', maxItems: 7')}, gone: ${pipeline(', group: gone')} }`);
    const refused = await control('/v1/config/reload', 'POST');
    expect([refused.status, refused.body.error.code]).toEqual([400, 'NO_ROOM']);
    const stranded = (name: string) =>
      `the pipeline ${name} does not deliver: it could not be started again (it is down); events are kept in the log`;
    expect((await control('/readyz')).body.reasons).toEqual([stranded('p')]);
    expect((await control('/v1/pipelines/p')).body.state).toBe('stopped');
    expect((await control('/v1/pipelines/p/pause', 'POST')).body.error.code).toBe('PIPELINE_STOPPED');
    write(`pipelines: { gone: ${pipeline(', group: gone, maxItems: 7')} }`);
    expect((await control('/v1/config/reload', 'POST')).status).toBe(500);
    expect((await control('/readyz')).body.reasons.sort()).toEqual([stranded('gone'), stranded('p')]);
    expect(await (await fetch(`${world.service.controlUrl}/metrics`)).text()).toMatch(
      /^sluice_pipeline_delivering\{pipeline="p"\} 0$/m,
    );
    await post([2]);
    settings.mockRestore();
    write(`pipelines: { p: ${pipeline(', maxItems: 7')} }`);
    expect((await control('/v1/config/reload', 'POST')).status).toBe(200);
    expect((await control('/readyz')).status).toBe(200);
    expect((await control('/v1/pipelines')).body.pipelines).toMatchObject([{ name: 'p', state: 'running' }]);
    await world.service.stop(5_000);
    expect([...new Set(written())]).toEqual([1, 2]);
  });

  it('whose pipeline cannot be stopped in order fails, runs it again, and is taken the next time', async () => {
    await world.start(`pipelines: { p: ${pipeline()} }`);
    await post([1]);
    await expect.poll(async () => (await control('/v1/pipelines/p')).body.tally.ok).toBe(1);
    vi.spyOn(world.service.log, 'lag').mockRejectedValueOnce(failure('it cannot be read', { code: 'STORE_FAILED' }));
    write(`pipelines: { p: ${pipeline(', maxItems: 7')} }`);
    const refused = await control('/v1/config/reload', 'POST');
    expect([refused.status, refused.body.error]).toEqual([
      500,
      {
        code: 'RELOAD_FAILED',
        message: 'the change failed, and was taken back: it cannot be read; `sluice pipelines ls` says how each pipeline is now',
      },
    ]);
    expect((await control('/v1/pipelines/p')).body.state).toBe('running');
    expect((await control('/readyz')).status).toBe(200);
    expect((await control('/v1/config')).body.config.pipelines.p.maxItems).not.toBe(7);
    expect(await post([2])).toBe(200);
    await expect.poll(async () => (await control('/v1/pipelines/p')).body.lag.items).toBe(0);
    expect((await control('/v1/config/reload', 'POST')).status).toBe(200);
    expect((await control('/v1/config')).body.config.pipelines.p.maxItems).toBe(7);
    expect(await post([3])).toBe(200);
    expect(await world.service.stop(5_000)).toMatchObject({ delivered: 3, leftInLog: 0 });
    expect(written()).toEqual([1, 2, 3]);
  });

  it('that is taken back is so in full, though a pipeline that it started cannot be stopped in order either', async () => {
    const two = (fields: string) => `pipelines: { p: ${pipeline(fields)}, q: ${pipeline(`, group: q${fields}`)} }`;
    await world.start(two(''));
    const { log } = world.service;
    const lag = log.lag.bind(log);
    let calls = 0;
    // The first p leaves, q does not; and the p that was put in its place does not either.
    vi.spyOn(log, 'lag').mockImplementation((group, stream) =>
      ++calls === 1 ? lag(group, stream) : Promise.reject(failure('it cannot be read', { code: 'STORE_FAILED' })),
    );
    write(two(', maxItems: 7'));
    expect((await control('/v1/config/reload', 'POST')).status).toBe(500);
    expect(calls).toBe(3);
    vi.mocked(log.lag).mockRestore();
    expect((await control('/v1/pipelines')).body.pipelines).toMatchObject([
      { name: 'p', state: 'running' },
      { name: 'q', state: 'running' },
    ]);
    expect(world.service.pipelines.all.map(({ config }) => config.maxItems)).not.toContain(7);
    expect((await control('/v1/config/reload', 'POST')).status).toBe(200);
    expect(world.service.pipelines.all.map(({ config }) => config.maxItems)).toEqual([7, 7]);
    await post([1]);
    expect(await world.service.stop(5_000)).toMatchObject({ delivered: 2, leftInLog: 0 });
  });

  it('is taken back in one step', async () => {
    await world.start(`pipelines: { p: ${pipeline()} }`);
    expect((await control('/v1/config/undo', 'POST')).status).toBe(409);
    write(`gateway: { maxItems: 1 }\npipelines: { p: ${pipeline()} }`);
    await control('/v1/config/reload', 'POST');
    expect(await post([1, 2])).toBe(413);
    expect((await control('/v1/config/undo', 'POST')).body.applied).toBe(true);
    expect(await post([1, 2])).toBe(200);
    const second = await control('/v1/config/undo', 'POST');
    expect([second.status, second.body.error.message]).toEqual([
      409,
      expect.stringContaining('nothing to undo: the last change was an undo'),
    ]);
    expect(await post([3, 4])).toBe(200);
    // The file still says what was taken back.
    await control('/v1/config/reload', 'POST');
    expect(await post([5, 6])).toBe(413);
    expect((await control('/v1/config/undo', 'POST')).body.applied).toBe(true);
  });

  it('that changes nothing is not what an undo takes back', async () => {
    const code = "code: { stream: other, map: './map.mjs', sink: { type: file, dir: other } }";
    world.write('map.mjs', 'export default ({ data }) => data;');
    await world.start(`pipelines: { p: ${pipeline()}, ${code} }`);
    await control('/v1/config/reload', 'POST');
    expect((await control('/v1/config/undo', 'POST')).status).toBe(409);
    write(`gateway: { maxItems: 1 }\npipelines: { p: ${pipeline()}, ${code} }`);
    await control('/v1/config/reload', 'POST');
    const again = (await control('/v1/config/reload', 'POST')).body.changes;
    expect(again.map(({ kind }: Answer) => kind)).toEqual(['anew']);
    expect((await control('/v1/config/undo', 'POST')).body).toMatchObject({ applied: true });
    expect(await post([1, 2])).toBe(200);
  });

  it('adds a pipeline, which reads the stream from its start, and removes one', async () => {
    const kept = 'streams: { events: { retention: { maxAgeMs: 3600000 } } }';
    await world.start(`${kept}\npipelines: { p: ${pipeline()} }`);
    await post([1, 2, 3]);
    await expect.poll(async () => (await control('/v1/pipelines/p')).body.lag.items).toBe(0);
    write(`${kept}\npipelines: { q: { stream: events, sink: { type: file, dir: other } } }`);
    await control('/v1/config/reload', 'POST');
    await post([4]);
    expect(await world.service.stop(5_000)).toMatchObject({ delivered: 7, leftInLog: 0 });
    expect([written(), written('other')]).toEqual([
      [1, 2, 3],
      [1, 2, 3, 4],
    ]);
  });
});

it('refuses events with 503 at log.maxBytes, and takes them again when the pipeline has caught up', async () => {
  await world.start(`log: { maxBytes: 1048576 }\npipelines: { p: ${pipeline(', paused: true')} }`);
  const large = 'x'.repeat(400_000);
  const push = async (id: number) => {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${world.service.url}/v1/streams/events/events`, {
      method: 'POST',
      body: JSON.stringify({ id, large }),
      headers,
    });
    return [response.status, response.headers.get('retry-after')];
  };
  // The third goes beyond the bound, which is known once the log has been looked at.
  for (let id = 0; id < 3; id++) expect((await push(id))[0]).toBe(200);
  await expect.poll(() => push(9), { timeout: 5_000, interval: 200 }).toEqual([503, expect.stringMatching(/^([1-9]|10)$/)]);
  const full = 'LOG_FULL: the log holds log.maxBytes (1048576); events are refused';
  expect(await control('/readyz')).toMatchObject({ status: 503, body: { reasons: [full] } });
  await control('/v1/pipelines/p/resume', 'POST');
  await expect.poll(() => push(10), { timeout: 10_000, interval: 200 }).toEqual([200, null]);
});

it('names a full disk in /readyz, although its pipelines deliver', async () => {
  await world.start(`log: { reserveBytes: ${Number.MAX_SAFE_INTEGER} }\npipelines: { p: ${pipeline()} }`);
  const full = expect.stringMatching(
    /^LOG_FULL: less than \d+ bytes \(log\.reserveBytes\) are free on the disk of the log; events are refused$/,
  );
  await expect.poll(() => control('/readyz'), { timeout: 5_000 }).toMatchObject({ status: 503, body: { reasons: [full] } });
  const gateway = await fetch(`${world.service.url}/readyz`);
  expect([gateway.status, await gateway.json()]).toMatchObject([503, { reasons: [full] }]);
});

describe('a stop in the middle of a reload', () => {
  it('waits for the calls of the pipeline that is being changed, and reports what it leaves', async () => {
    const handler = (maxItems: number) =>
      `pipelines: { p: { stream: events, maxItems: ${maxItems}, maxInFlight: 1, window: { maxDelayMs: 5 }, sink: { type: module, handler: './slow.mjs#slow' } } }`;
    const slow = { started: 0, ended: 0, end: () => {} };
    (globalThis as { slow?: object }).slow = slow;
    world.write(
      'slow.mjs',
      'export async function slow(events) { const { slow } = globalThis; slow.started += events.length; await new Promise((resolve) => { slow.end = resolve; }); slow.ended += events.length; }',
    );
    await world.start(handler(5));
    await post([1, 2, 3, 4, 5, 6, 7]);
    await expect.poll(() => slow.started).toBe(5);
    write(handler(6));
    const reload = control('/v1/config/reload', 'POST').catch(() => {});
    await expect.poll(async () => (await control('/v1/pipelines')).body.pipelines[0].state).toBe('changing');
    const report = world.service.stop(5_000);
    await expect.poll(() => post([8]).catch(() => 0)).not.toBe(200);
    slow.end();
    expect(await report).toMatchObject({ delivered: 5, leftInLog: 2, unread: 0, lost: 0 });
    expect(slow).toMatchObject({ started: 5, ended: 5 });
    await reload;
  });
});

describe('a pipeline that is paused', () => {
  const stateOf = async () => {
    const { state, lag } = (await control('/v1/pipelines/p')).body;
    return [state, lag.items];
  };

  it('by the configuration starts without delivering, until somebody resumes it', async () => {
    await world.start(`pipelines: { p: ${pipeline(', paused: true')} }`);
    await post([1, 2, 3]);
    expect(await stateOf()).toEqual(['paused', 3]);
    await control('/v1/pipelines/p/resume', 'POST');
    await expect.poll(async () => (await stateOf())[1]).toBe(0);
  });

  it('by an operator stays so over a reload that changes something else of it', async () => {
    await world.start(`pipelines: { p: ${pipeline()} }`);
    await control('/v1/pipelines/p/pause', 'POST');
    write(`pipelines: { p: ${pipeline(', maxItems: 7')} }`);
    expect((await control('/v1/config/reload', 'POST')).status).toBe(200);
    await post([1, 2, 3]);
    expect(await stateOf()).toEqual(['paused', 3]);
    await control('/v1/pipelines/p/resume', 'POST');
    await expect.poll(async () => (await stateOf())[1]).toBe(0);
  });
});

describe('what waits for a restart', () => {
  const seen = async () => {
    const { restartDue } = (await control('/v1/config')).body;
    const { status, body } = await control('/readyz');
    const metrics = await (await fetch(`${world.service.controlUrl}/metrics`)).text();
    const count = Number(/^sluice_restart_due (\d+)$/m.exec(metrics)?.[1]);
    return { paths: restartDue.map(({ path }: Answer) => path), ready: [status, body.restartDue], count };
  };
  const none = { paths: [], ready: [200, undefined], count: 0 };

  it('is in the live configuration, in /readyz and in the metrics, until the change is undone', async () => {
    await world.start(`pipelines: { p: ${pipeline()} }`);
    expect(await seen()).toEqual(none);
    write(`log: { maxHeldItems: 5 }\npipelines: { p: ${pipeline()} }`);
    await control('/v1/config/reload?dry=true', 'POST');
    expect(await seen()).toEqual(none);
    await control('/v1/config/reload', 'POST');
    const due = { paths: ['log.maxHeldItems'], ready: [200, ['log.maxHeldItems']], count: 1 };
    expect(await seen()).toEqual(due);
    write(`log: { maxHeldItems: 5 }\ngateway: { maxItems: 2 }\npipelines: { p: ${pipeline()} }`);
    await control('/v1/config/reload', 'POST');
    expect(await seen()).toEqual(due);
    write(`log: { maxHeldItems: 100000 }\ngateway: { maxItems: 2, host: localhost }\npipelines: { p: ${pipeline()} }`);
    await control('/v1/config/reload', 'POST');
    expect((await seen()).paths).toEqual(['gateway.host']);
    await control('/v1/config/undo', 'POST');
    expect(await seen()).toEqual(due);
  });

  it('is not what a reload can add, such as a stream, and goes with what is removed again, such as an outbox', async () => {
    await world.start(`pipelines: { p: ${pipeline()} }`);
    write(`streams: { late: { partitions: 2 } }\npipelines: { p: ${pipeline()} }`);
    await control('/v1/config/reload', 'POST');
    expect(await seen()).toEqual(none);
    write(
      `outboxes: { shop: { url: 'postgres://127.0.0.1:1/x' } }\nstreams: { late: { partitions: 2 } }\npipelines: { p: ${pipeline()} }`,
    );
    await control('/v1/config/reload', 'POST');
    expect((await seen()).paths).toEqual(['outboxes.shop']);
    write(`pipelines: { p: ${pipeline()} }`);
    await control('/v1/config/reload', 'POST');
    expect(await seen()).toEqual(none);
  });
});

describe('the control plane', () => {
  it('pauses, resumes and replays a pipeline', async () => {
    await world.start(`streams: { events: { retention: { maxAgeMs: 3600000 } } }\npipelines: { p: ${pipeline()} }`);
    expect((await control('/v1/pipelines/p/pause', 'POST')).body).toMatchObject({ name: 'p', state: 'paused' });
    await post([1, 2, 3]);
    expect((await control('/v1/pipelines/p')).body).toMatchObject({ lag: { items: 3 } });
    await control('/v1/pipelines/p/resume', 'POST');
    await expect.poll(async () => (await control('/v1/pipelines/p')).body.lag.items).toBe(0);
    await control('/v1/pipelines/p/seek?to=start', 'POST');
    await expect.poll(async () => (await control('/v1/pipelines/p')).body.lag.items).toBe(0);
    await world.service.stop(5_000);
    expect(written()).toEqual([1, 1, 2, 2, 3, 3]);
  });

  it('answers mistakes with what there is', async () => {
    await world.start(`pipelines: { p: ${pipeline()} }`);
    expect(await control('/v1/pipelines/x/pause', 'POST')).toMatchObject({
      status: 404,
      body: { error: { message: 'there is no pipeline of this name; there is p' } },
    });
    expect((await control('/v1/pipelines/p/seek?to=yesterday', 'POST')).status).toBe(400);
    expect((await control('/v1/dead-letters?stat=parked')).status).toBe(400);
    expect((await control('/v1/dead-letters', 'DELETE')).status).toBe(400);
    expect((await control('/v1/redrives/9')).status).toBe(404);
    expect((await control('/v1/redrives?target=nowhere', 'POST')).body.error.code).toBe('STREAM_NOT_FOUND');
    await control('/v1/pipelines/p/pause', 'POST');
    expect((await control('/readyz')).status).toBe(200);
  });

  it('refuses a body that no route takes without naming those of events', async () => {
    await world.start(`pipelines: { p: ${pipeline()} }`);
    const headers = { 'content-type': 'application/xml' };
    const response = await fetch(`${world.service.controlUrl}/v1/pipelines/p/pause`, { method: 'POST', headers, body: '<a/>' });
    expect([response.status, await response.json()]).toEqual([
      415,
      {
        error: {
          code: 'UNSUPPORTED_TYPE',
          message: 'no body of this content-type is taken here; send the request without one',
        },
      },
    ]);
  });

  it('names the methods of a path that is asked with another one', async () => {
    await world.start(`pipelines: { p: ${pipeline()} }`);
    const asked = async (path: string, method: string) => {
      const response = await fetch(`${world.service.controlUrl}${path}`, { method });
      return [response.status, response.headers.get('allow'), ((await response.json()) as Answer).error.message];
    };
    expect(await asked('/v1/pipelines/p/pause', 'GET')).toEqual([405, 'POST', 'use POST, not GET']);
    expect(await asked('/v1/dead-letters?all=true', 'PUT')).toEqual([405, 'GET, HEAD, DELETE', expect.any(String)]);
    expect(await asked('/v1/dead-letters/letters/a/b/0/1', 'DELETE')).toEqual([405, 'GET, HEAD', expect.any(String)]);
    expect(await asked('/v1/pipelines/p/paus', 'POST')).toEqual([404, null, 'there is no POST /v1/pipelines/p/paus here']);
  });

  it('measures what is used against the bounds that the log has, not those that need a restart', async () => {
    world.write('refuse.mjs', "export default () => { throw Object.assign(new Error('no'), { class: 'permanent' }); };");
    const refusing =
      'pipelines: { p: { stream: events, sink: { type: module, handler: ./refuse.mjs }, window: { maxDelayMs: 5 } } }';
    await world.start(`log: { deadLetters: { maxItems: 10 } }\n${refusing}`);
    await post([1]);
    const metrics = async () => (await fetch(`${world.service.controlUrl}/metrics`)).text();
    await expect.poll(metrics).toContain('\nsluice_dead_letters_used_ratio 0.1\n');
    write(`log: { deadLetters: { maxItems: 1 } }\n${refusing}`);
    expect((await control('/v1/config/reload', 'POST')).status).toBe(200);
    expect(await metrics()).toContain('\nsluice_dead_letters_used_ratio 0.1\n');
  });

  it('shows the configuration without its secrets', async () => {
    await world.start(
      `pipelines: { p: { sink: { type: http, url: "http://me:secret@127.0.0.1:9/x", headers: { authorization: secret } }, stream: other } }`,
    );
    const text = JSON.stringify((await control('/v1/config')).body);
    expect(text).not.toContain('secret');
    expect(text).toContain('authorization');
  });
});
