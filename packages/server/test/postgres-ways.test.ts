/** Ways to the server: TLS with a certificate of its own, and the example. */

import { execFile, execFileSync } from 'node:child_process';
import { chownSync, cpSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { expect, test } from 'vitest';
import { context, describeOnEachPostgres, failed, failureOf } from './support/postgres-sink.js';

const hasOpenssl = (() => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

const ddl = 'CREATE TABLE events (id text PRIMARY KEY, n int CHECK (n < 1000))';
const rows = (count: number, from = 0) =>
  Array.from({ length: count }, (_, i) => ({ id: `id-${from + i}`, n: (from + i) % 1000 }));

describeOnEachPostgres('over TLS', 2, (world) => {
  test.skipIf(!hasOpenssl)('the sink writes and cancels; a certificate that nobody vouches for is blocked', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-tls-'));
    try {
      const [key, certificate] = [join(folder, 'server.key'), join(folder, 'server.crt')];
      execFileSync(
        'openssl',
        [
          'req',
          '-x509',
          '-newkey',
          'rsa:2048',
          '-nodes',
          '-days',
          '2',
          '-subj',
          '/CN=localhost',
          '-addext',
          'subjectAltName=DNS:localhost,IP:127.0.0.1',
          '-keyout',
          key,
          '-out',
          certificate,
        ],
        { stdio: 'ignore' },
      );
      const { directory } = world.postgres.server;
      const { uid, gid } = statSync(join(directory, 'PG_VERSION'));
      for (const file of ['server.key', 'server.crt']) {
        cpSync(join(folder, file), join(directory, file));
        chownSync(join(directory, file), uid, gid);
      }
      for (const setting of ["ssl_cert_file = 'server.crt'", "ssl_key_file = 'server.key'", 'ssl = on'])
        await world.observer.query(`ALTER SYSTEM SET ${setting}`);
      await world.observer.query('SELECT pg_reload_conf()');
      while ((await world.rows('SHOW ssl'))[0]!.ssl !== 'on');
      await world.observer.query(ddl);

      const ssl = { ca: readFileSync(certificate) };
      const pool = new pg.Pool({ connectionString: world.connectionString, ssl, max: 2, application_name: 'tls' });
      const sink = world.sink<object>({ pool, conflict: { columns: ['id'], action: 'ignore' } });
      const items = [...rows(500), { id: 'bad', n: 5000 }];
      expect(failed(await sink.write(items, context()))).toMatchObject({ 500: { code: 'PG_23514' } });
      expect(
        await world.rows(
          `SELECT bool_and(ssl) AS ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'tls'`,
        ),
      ).toEqual([{ ssl: true }]);
      // A write that waits for a lock is cancelled over TLS as well.
      await world.observer.query('BEGIN; LOCK TABLE events');
      const leaving = new AbortController();
      const write = failureOf(sink.write(rows(10, 600), context(leaving.signal)));
      const other = await world.pool.connect();
      while (
        (await other.query(`SELECT FROM pg_stat_activity WHERE application_name = 'tls' AND wait_event_type = 'Lock'`))
          .rowCount === 0
      );
      leaving.abort();
      expect((await write).code).toBe('CANCELLED');
      while (
        (await other.query(`SELECT FROM pg_stat_activity WHERE application_name = 'tls' AND state = 'active'`)).rowCount !== 0
      );
      other.release();
      await world.observer.query('COMMIT');
      expect(await world.rows('SELECT count(*)::int AS n FROM events')).toEqual([{ n: 500 }]);
      await pool.end();

      const strict = new pg.Pool({ connectionString: world.connectionString, ssl: true, max: 1 });
      expect(await failureOf(world.sink<object>({ pool: strict }).prepare())).toMatchObject({
        code: 'PG_CONNECTION',
        class: 'blocked',
      });
      await strict.end();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describeOnEachPostgres('the example', 1, (world) => {
  test('existing-table.ts skips the duplicate and tells why the bad row was refused', async () => {
    const run = fileURLToPath(new URL('../../../examples/run.js', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [run, 'existing-table'], {
      env: { ...process.env, DATABASE_URL: world.connectionString },
    });
    expect(stdout).toBe(
      'ok\nPG_23514: PostgreSQL: new row for relation "requests" violates check constraint "requests_status_check" (COPY requests, line 2)\nok\nok\n' +
        '200 { n: 1 }\n404 { n: 3 }\n',
    );
  });
});
