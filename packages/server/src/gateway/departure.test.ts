import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { responsesOn, whenGone } from './departure.js';

/** As much of a response as its departure is told by. */
function responseOn(socket: Socket): ServerResponse {
  return Object.assign(new EventEmitter(), { req: { socket }, closed: false }) as unknown as ServerResponse;
}

function complete(response: ServerResponse): void {
  Object.assign(response, { closed: true });
  response.emit('close');
}

function connected(): Socket {
  return Object.assign(new EventEmitter(), { closed: false }) as unknown as Socket;
}

describe('departure', () => {
  it('tells each who waits once, whether the response or its connection ends first', () => {
    const socket = connected();
    const [first, second, third] = [responseOn(socket), responseOn(socket), responseOn(socket)];
    const told: string[] = [];
    whenGone(first, () => told.push('first'));
    whenGone(second, () => told.push('second'));
    whenGone(third, () => told.push('third'));
    whenGone(second, () => told.push('second again'));
    expect(responsesOn(socket)).toEqual([first, second, third]);

    complete(second);
    expect(responsesOn(socket)).toEqual([first, third]);
    Object.assign(socket, { closed: true });
    socket.emit('close');
    complete(first);

    expect(told).toEqual(['second', 'second again', 'first', 'third']);
    expect(responsesOn(socket)).toEqual([]);
    whenGone(third, () => told.push('late'));
    expect(told.at(-1)).toBe('late');
  });

  it('does not look through all requests that a client has sent ahead, for each of them', () => {
    const socket = connected();
    let told = 0;
    const before = process.cpuUsage();
    const responses = Array.from({ length: 50_000 }, () => responseOn(socket));
    for (const response of responses) whenGone(response, () => told++);
    for (const response of responses) complete(response);
    const { user, system } = process.cpuUsage(before);

    expect(told).toBe(50_000);
    // A tenth of a second; to look for each among the others took thirty times as long.
    expect(user + system).toBeLessThan(2_000_000);
  });
});
