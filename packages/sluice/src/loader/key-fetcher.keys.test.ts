import { expect, it } from 'vitest';
import { fetcherWorld } from '../../test/support/fetcher-world.js';
import { lengths } from '../../test/support/scripted-http.js';

it('R-20, R-240 and D-37: a value that is no finite number fails its own key only, without coercion (E-7)', async () => {
  const body = '{"good":-0.5,"text":"12","bool":true,"huge":1e400,"object":{},"array":[1],"zero":0}';
  const { env, told, ask } = fetcherWorld({}, () => ({ body }));
  for (const key of ['good', 'text', 'bool', 'huge', 'object', 'array', 'zero']) ask(key);
  await env.clock.advance(100);
  expect(told.map((line) => line.slice(4))).toEqual([
    'good=-0.5',
    'text:INVALID_VALUE',
    'bool:INVALID_VALUE',
    'huge:INVALID_VALUE',
    'object:INVALID_VALUE',
    'array:INVALID_VALUE',
    'zero=0',
  ]);
});

it('D-37: members of a reply in any order, or twice, come to the keys that they name; the last one counts', async () => {
  const { env, told, ask } = fetcherWorld({}, () => ({ body: '{"b":1,"10":2,"2":3,"b":4}' }));
  for (const key of ['b', '10', '2']) ask(key);
  await env.clock.advance(100);
  expect(told.map((line) => line.slice(4))).toEqual(['b=4', '10=2', '2=3']);
});

it('R-237, E-24 and D-36: __proto__, constructor, toString and hasOwnProperty are ordinary keys; absent ones are KEY_NOT_FOUND', async () => {
  const keys = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'then'];
  const bodies = ['{}', '{"__proto__":1,"constructor":2,"toString":3,"hasOwnProperty":4,"then":5}'];
  const { env, told, ask } = fetcherWorld({}, (_, index) => ({ body: bodies[index] }));
  for (const key of keys) ask(key);
  await env.clock.advance(100);
  for (const key of keys) ask(key);
  await env.clock.advance(100);
  expect(told).toEqual([...keys.map((key) => `100 ${key}:KEY_NOT_FOUND`), ...keys.map((key, i) => `200 ${key}=${i + 1}`)]);
});

it('R-238 and E-19: keys are percent-encoded one by one and joined by literal commas', async () => {
  const { env, http, told, ask } = fetcherWorld({}, lengths);
  for (const key of ['a,b', 'é', '100%', 'a&b=c', 'a#b', 'a+b', 'a b', 'a/b']) ask(key);
  await env.clock.advance(100);
  expect(http.calls[0]!.path).toBe('/read?keys=a%2Cb,%C3%A9,100%25,a%26b%3Dc,a%23b,a%2Bb,a%20b,a%2Fb');
  expect(told.every((line) => /=\d$/.test(line))).toBe(true);
});

it('R-239 and E-18: a lone surrogate, an empty key and a key that is no string are refused alone (D-38)', async () => {
  const { env, http, told, ask } = fetcherWorld({}, lengths);
  ask('good');
  for (const key of ['\ud800', '', 7, undefined, null, {}] as string[]) ask(key, 'bad');
  await env.clock.advance(100);
  expect(told).toEqual([...Array(6).fill('0 bad:INVALID_KEY'), '100 good=4']);
  expect(http.paths()).toEqual(['100 /read?keys=good']);
});

it('E-18: a callback that is no function is a TypeError at once', () => {
  const { fetcher } = fetcherWorld();
  expect(() => fetcher.getKeyAsync('foo', undefined as unknown as () => void)).toThrow(TypeError);
});

it('R-241 and E-21: a window too long for one URL goes out as several calls at the same instant, each settling its own waiters', async () => {
  const { env, http, told, ask } = fetcherWorld({ maxUrlBytes: 20 });
  for (const key of ['aaaa', 'bbbb', 'cccc', 'dddd', 'é']) ask(key);
  await env.clock.advance(100);
  expect(http.paths()).toEqual(['100 /read?keys=aaaa,bbbb', '100 /read?keys=cccc,dddd', '100 /read?keys=%C3%A9']);
  expect(Math.max(...http.calls.map((call) => call.path.length))).toBe(20);
  http.calls[1]!.reply({ cccc: 3, dddd: 4 });
  await env.clock.advance(50);
  http.calls[0]!.reply({ aaaa: 1, bbbb: 2 });
  await env.clock.settle();
  expect(told).toEqual(['100 cccc=3', '100 dddd=4', '150 aaaa=1', '150 bbbb=2']);
});

it('E-21: a key that fits into no URL gets KEY_TOO_LONG; one that just fits is sent', async () => {
  const { env, http, told, ask } = fetcherWorld({}, lengths);
  ask('x'.repeat(8000 - '/read?keys='.length), 'fits');
  ask('x'.repeat(8001 - '/read?keys='.length), 'long');
  await env.clock.advance(100);
  expect(told).toEqual(['0 long:KEY_TOO_LONG', '100 fits=7989']);
  expect(http.calls[0]!.path).toHaveLength(8000);
});

it('R-242 and E-25: unrequested keys are ignored and counted', async () => {
  const { env, fetcher, told, ask } = fetcherWorld({}, () => ({ values: { foo: 1, bar: 2, baz: 'x' } }));
  ask('foo');
  await env.clock.advance(100);
  expect(told).toEqual(['100 foo=1']);
  expect(fetcher.stats().unrequestedKeys).toBe(2);
  expect(env.eventsOf('unrequested')).toMatchObject([{ keys: 2 }]);
});

it('E-5 and E-6: a missing or null value is an error, undefined, or a number, as `missing` says', async () => {
  for (const [missing, told] of [
    ['error', ['foo:KEY_NOT_FOUND', 'bar:KEY_NOT_FOUND']],
    ['undefined', ['foo=undefined', 'bar=undefined']],
    [-1, ['foo=-1', 'bar=-1']],
  ] as const) {
    const each = fetcherWorld({ missing }, () => ({ values: { foo: null } }));
    each.ask('foo');
    each.ask('bar');
    await each.env.clock.advance(100);
    expect(each.told.map((line) => line.slice(4))).toEqual(told);
  }
});
