/** The command line: each command is loaded when it is called, so that `--help` is quick. */

import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { decimal, exitCodes, whole } from './commands/arguments.js';
import { type CommandIo, processIo, sentence, UsageError } from './commands/command-io.js';
import { addDlq } from './commands/dlq/commands.js';
import { interruptible } from './commands/interrupt.js';
import { addLoad } from './commands/load/commands.js';
import { addLog } from './commands/log/commands.js';
import { addOutboxes } from './commands/outboxes/commands.js';
import { addService } from './commands/service/commands.js';
import { keyOption } from './commands/service-flags.js';
import { addTail } from './commands/tail/commands.js';
import type { Overrides } from './config/override.js';
import type { AckLevel } from './gateway/receipt.js';
import { version } from './version.js';

/**
 * Runs one command and resolves with its exit code: 0 all went well, 1 a failure or a loss, 2 a wrong call. Errors are printed as
 * one sentence.
 *
 * @param args without the program's name.
 */
export async function run(args: readonly string[], io: CommandIo = processIo()): Promise<number> {
  let exitCode = 0;
  const program = createProgram(io, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const name = program.args[0] ?? '';
    io.stderr.write(`sluice ${name}: ${sentence(error instanceof Error ? error.message : String(error))}\n`);
    if (process.env.SLUICE_DEBUG !== undefined && error instanceof Error) io.stderr.write(`${error.stack}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

/** Runs the command of this process and ends the process with its exit code. */
export async function main(): Promise<void> {
  // `sluice push … | head` closes our output: that is no reason for a stack trace, nor for a service or a push to stop in its midst.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  const code = await run(process.argv.slice(2));
  process.exitCode = code;
  // A sink that hangs must not keep the process; what was printed leaves first.
  process.stdout.write('', () => {
    const unwritten = unwrittenOutput();
    process.stderr.write(unwritten, () => process.exit(unwritten === '' ? code : code || 1));
  });
}

/** What there is to say of output that is lost, if anything: a full disk is a failure, a reader who has seen enough is none. */
function unwrittenOutput(): string {
  const error: NodeJS.ErrnoException | null = process.stdout.errored;
  if (error === null || error.code === 'EPIPE') return '';
  return `sluice: the output cannot be written: ${sentence(error.message)}\n`;
}

function createProgram(io: CommandIo, done: (code: number) => void): Command {
  const program = new Command('sluice')
    .description('Batches events into PostgreSQL, and reads into one call.')
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      outputError: (text, write) => write(`${text.trimEnd().split('\n').map(fullLine).join('\n')}\n`),
    })
    .showHelpAfterError('(add --help for the options)')
    .addHelpText(
      'after',
      `
Examples:
  sluice up
  zcat access.log.gz | sluice push events --lines
  sluice push events orders.ndjson --id orderId --ack committed
  sluice lag
  sluice dlq groups
  sluice load --rate 5000
${exitCodes}`,
    );
  addUp(program, done);
  addCheck(program, io, done);
  addKey(program, io);
  addPush(program, io, done);
  addTail(program, io, done);
  addService(program, io, done);
  addDlq(program, io, done);
  addOutboxes(program, io, done);
  addLog(program, io, done);
  addLoad(program, io, done);
  addBackend(program, io, done);
  return program;
}

function addUp(program: Command, done: (code: number) => void): void {
  program
    .command('up')
    .description(
      'start the service: gateway, durable log, pipelines; without a configuration the stream events goes into the table events',
    )
    .option('--config <file>', 'the configuration (default: sluice.config.ts, .js, .yaml or .json in this folder)')
    .option('--data <dir>', 'folder of the log and of the embedded PostgreSQL (default: ./data)')
    .option('--port <n>', 'port of the gateway (default: 8080)', whole('a port', 0, 65_535))
    .option('--control-port <n>', 'port of the control plane (default: 8081)', whole('a port', 0, 65_535))
    .option('--host <address>', 'address to listen on (default: 127.0.0.1)')
    .option('--public-without-keys', 'listen on a public address though there are no API keys')
    .option('--deadline <seconds>', 'how long to drain after SIGTERM (default: 30)', decimal('seconds', 0, 86_400))
    .option('--read-upstream <url>', 'the key-value backend behind GET /read (default: the built-in reference backend)')
    .option('--read-window <ms>', 'how long reads are collected into one call (default: 100)', decimal('milliseconds', 0, 60_000))
    .addHelpText(
      'after',
      `
What is said here goes before the configuration.

Environment:
  DATABASE_URL  use this PostgreSQL in place of the embedded one

Examples:
  sluice up --data /srv/sluice --port 8080
  sluice up --config sluice.config.yaml
  DATABASE_URL=postgres://me@db/app sluice up
${exitCodes}`,
    )
    .action(async ({ config: file, ...flags }: Overrides & { readonly config?: string }) => {
      const [{ up }, { loadConfig }, { override }, { UnreadableFile }] = await Promise.all([
        import('./commands/up.js'),
        import('./config/load.js'),
        import('./config/override.js'),
        import('./config/source.js'),
      ]);
      if (flags.readUpstream !== undefined) checkReadUpstream(flags.readUpstream);
      checkDatabaseUrl(process.env.DATABASE_URL ?? '');
      const loaded = await loadConfig(file).catch((error: unknown) => {
        throw error instanceof UnreadableFile ? new UsageError(error.message) : error;
      });
      done(await up(override(loaded, flags)));
    });
}

function checkReadUpstream(text: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && ['http:', 'https:'].includes(url.protocol) && url.username === '' && url.hash === '') return;
  // What stands before an @ may be a password.
  const got = text.includes('@') ? 'an address with a user name, or none at all' : JSON.stringify(text.slice(0, 100));
  throw new UsageError(
    `expected --read-upstream to be an http or https address such as http://127.0.0.1:9000/read, without a user name; got ${got}`,
  );
}

/** Whatever is wrong with it, it is never printed: it holds a password. */
function checkDatabaseUrl(text: string): void {
  if (text === '' || (/^postgres(ql)?:\/\//i.test(text) && URL.canParse(text))) return;
  throw new UsageError(
    'expected DATABASE_URL to be an address such as postgres://user:password@host:5432/database, with @ : / # ? and % in the password percent-encoded (it is not printed here); correct it, or unset it to use the embedded PostgreSQL',
  );
}

function addKey(program: Command, io: CommandIo): void {
  program
    .command('key')
    .description('make an API key: the key for its user, and the entry for the configuration, which holds only its hash')
    .argument('<id>', 'names the key in logs and reports', keyId)
    .requiredOption('--tenant <name>', 'whose events it sends', keyId)
    .addOption(new Option('--scope <scope...>', 'what it may do').choices(['write', 'read', 'admin']).default(['write', 'read']))
    .option('--json', 'print both as JSON')
    .addHelpText(
      'after',
      `
Examples:
  sluice key shop-1 --tenant shop
  sluice key ops --tenant ops --scope admin
${exitCodes}`,
    )
    .action(
      async (
        id: string,
        { tenant, scope, json }: { readonly tenant: string; readonly scope: string[]; readonly json?: boolean },
      ) => {
        const { makeKey } = await import('./gateway/caller.js');
        const { key, hash } = makeKey(id);
        const entry = { id, hash, tenant, scopes: scope };
        const yaml = `keys:\n  - { id: ${id}, tenant: ${tenant}, scopes: [${scope.join(', ')}], hash: "${hash}" }\n`;
        io.stdout.write(
          json === true
            ? `${JSON.stringify({ key, entry })}\n`
            : `The key, which is shown only now:\n\n  ${key}\n\nIts entry in the configuration:\n\n${yaml}`,
        );
      },
    );
}

function keyId(text: string): string {
  if (/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/.test(text)) return text;
  throw new InvalidArgumentError('Expected 1 to 128 letters, digits, dots, hyphens and underscores.');
}

function addCheck(program: Command, io: CommandIo, done: (code: number) => void): void {
  program
    .command('check')
    .description('say whether a configuration is right, and what in it is likely to be regretted')
    .argument('[file]', 'the configuration (default: sluice.config.ts, .js, .yaml or .json in this folder)')
    .option('--strict', 'advice counts as a failure')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Examples:
  sluice check
  sluice check deploy/sluice.config.yaml --strict
${exitCodes}`,
    )
    .action(async (file: string | undefined, flags: { readonly strict?: boolean; readonly json?: boolean }) => {
      const { check } = await import('./commands/check.js');
      done(await check({ config: file, ...flags, io }));
    });
}

function addPush(program: Command, io: CommandIo, done: (code: number) => void): void {
  program
    .command('push')
    .description('send a file, or standard input, into a stream')
    .argument('<stream>', 'name of the stream')
    .argument('[file]', 'NDJSON, or text with --lines; - is standard input; gzip is inflated', '-')
    .option('--url <url>', 'the gateway', 'http://127.0.0.1:8080')
    .addOption(keyOption())
    .addOption(
      new Option('--ack <level>', 'wait until events are').choices(['accepted', 'durable', 'committed']).default('durable'),
    )
    .option('--id <field>', 'the field that holds the id of each event, or: hash (default: id, where there is one)')
    .option('--lines', 'each line is text: wrap it as { "id", "line" }, with an id that is the same each time')
    .option('--source <name>', 'with --lines: name of the source, part of the ids (default: the file name, or stdin)')
    .option('--batch <n>', 'items a request', whole('a number of items', 1, 10_000), 500)
    .option('--concurrency <n>', 'requests in flight', whole('a number of requests', 1, 64), 4)
    .option('--retries <n>', 'how often a request is sent again', whole('a number of times', 0, 1_000), 10)
    .option('--from-line <n>', 'first line to send', whole('a line number', 1, Number.MAX_SAFE_INTEGER), 1)
    .option('--json', 'print the summary as JSON')
    .addHelpText(
      'after',
      `
Pushing the same input again adds nothing twice, as long as each event has an id (--lines and --id hash make one).

Examples:
  zcat access.log.gz | sluice push events --lines
  tail -F app.ndjson | sluice push events --id requestId
  sluice push events big.ndjson --from-line 120501
${exitCodes}`,
    )
    .action(async (stream: string, file: string, flags: PushFlags) => {
      const { push } = await import('./commands/push.js');
      done(await interruptible((signal) => push({ stream, file, ...flags, signal, io })));
    });
}

interface PushFlags {
  readonly url: string;
  readonly key?: string;
  readonly ack: AckLevel;
  readonly id?: string;
  readonly lines?: boolean;
  readonly source?: string;
  readonly batch: number;
  readonly concurrency: number;
  readonly retries: number;
  readonly fromLine: number;
  readonly json?: boolean;
}

function addBackend(program: Command, io: CommandIo, done: (code: number) => void): void {
  program
    .command('backend')
    .description('start the reference key-value backend: GET /read?keys=k1,k2, and GET /_log for every hit')
    .option('--port <n>', 'port to listen on', whole('a port', 0, 65_535), 9_000)
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--data <file|json>', 'a JSON object from key to value, or a file that holds one')
    .option('--latency <ms>', 'how long each answer takes', decimal('milliseconds', 0, 3_600_000), 0)
    .option('--fail <rate>', 'share of the requests that fail with 500', decimal('a rate', 0, 1), 0)
    .option('--drop-keys <keys>', 'keys to leave out of every answer, with commas between', (keys) =>
      keys.split(',').filter((key) => key !== ''),
    )
    .option('--status <code>', 'status of every answer', whole('a status', 200, 599), 200)
    .addHelpText(
      'after',
      `
Examples:
  sluice backend --port 9000 --data '{"foo":12,"bar":100}'
  sluice backend --data table.json --latency 300 --fail 0.1
${exitCodes}`,
    )
    .action(async (flags: BackendFlags) => {
      const { backend } = await import('./commands/backend.js');
      const { latency: latencyMs, fail: failRate, ...others } = flags;
      done(await backend({ ...others, latencyMs, failRate, io }));
    });
}

interface BackendFlags {
  readonly port: number;
  readonly host: string;
  readonly data?: string;
  readonly latency: number;
  readonly fail: number;
  readonly dropKeys?: readonly string[];
  readonly status: number;
}

/** A hint in parentheses stays as it is. */
function fullLine(line: string): string {
  return line === '' || line.endsWith(')') ? line : sentence(line);
}
