/** Tests of the stop: what it reports, and that nothing that hangs holds it up. */

import type { Log } from 'sluice/log';
import { createMemoryLog } from 'sluice/log';
import { testEnv } from 'sluice/testing';
import { describe, expect, it } from 'vitest';
import { type Running, stopService } from './stop.js';

const hangs = new Promise<never>(() => {});

function running(overrides: { readonly log?: Partial<Log>; readonly hung?: boolean } = {}) {
  const env = testEnv();
  const order: string[] = [];
  const part = (name: string) => () => {
    order.push(name);
    return overrides.hung ? hangs : Promise.resolve();
  };
  const log: Log = { ...createMemoryLog({ env }), close: part('log'), ...overrides.log };
  const parts = {
    env,
    log,
    gateway: { stopIntake: part('intake'), close: part('gateway') },
    control: { endAnswers: part('answers'), close: part('control') },
    bound: { stop() {} },
    pipelines: {
      all: [{ stream: 'events', consumer: { status: () => ({ broken: undefined }) } }],
      drain: async () => {
        order.push('drain');
        return { delivered: 3, dead: 1, leftInLog: 2 };
      },
      close: part('sinks'),
    },
    outboxes: { close: part('outboxes') },
    reads: { close: part('reads') },
    backend: { close: part('backend') },
    database: { stop: part('database') },
    folder: { release: () => void order.push('folder') },
  };
  return { env, order, parts: parts as unknown as Running };
}

describe('stopService', () => {
  it('stops the intake first, delivers, then closes everything, the database, the folder and the control plane last', async () => {
    const { env, order, parts } = running();
    const report = stopService(parts, 30_000);
    await env.clock.settle();
    expect(await report).toMatchObject({ delivered: 3, dead: 1, leftInLog: 2, unread: 0, lost: 0, pipelineProblem: undefined });
    expect(order).toEqual([
      'intake',
      'outboxes',
      'drain',
      'gateway',
      'answers',
      'reads',
      'backend',
      'sinks',
      'log',
      'database',
      'folder',
      'control',
    ]);
    expect(env.clock.timers).toBe(0);
  });

  it('counts as lost what exists in memory alone because the log could not be written until the deadline', async () => {
    const { env, parts } = running({ log: { flushed: () => hangs, memoryOnly: 7, close: () => hangs } });
    const report = stopService(parts, 2_000);
    await env.clock.advance(3_000);
    expect(await report).toMatchObject({ lost: 7 });
  });

  it('ends within the deadline and a second, even when every part hangs', async () => {
    const { env, parts } = running({ hung: true, log: { flushed: () => hangs } });
    let report: { durationMs: number } | undefined;
    void stopService(parts, 5_000).then((ended) => {
      report = ended;
    });
    await env.clock.advance(4_999);
    expect(report).toBeUndefined();
    await env.clock.advance(1_001);
    expect(report!.durationMs).toBeLessThanOrEqual(6_000);
  });

  it('counts what lies in streams that no pipeline reads', async () => {
    const streams = async () => [
      { stream: 'events', partition: 0, firstOffset: 0, nextOffset: 9, bytes: 9, oldestAt: 1 },
      { stream: 'other', partition: 0, firstOffset: 5, nextOffset: 12, bytes: 7, oldestAt: 1 },
    ];
    const { env, parts } = running({ log: { streams } });
    const report = stopService(parts, 1_000);
    await env.clock.settle();
    expect(await report).toMatchObject({ unread: 7 });
  });
});
