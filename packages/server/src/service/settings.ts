/** Settings of a service, with their defaults. */

/** What `sluice up` is told. */
export interface Settings {
  /** Where log and database live. Default `./data`. */
  readonly dataDir: string;
  /** Address of the data plane. Default 127.0.0.1: this machine alone. */
  readonly host: string;
  /** Port of the data plane; 0 takes a free one. Default 8080. */
  readonly port: number;
  /** Port of the control plane on 127.0.0.1; 0 takes a free one. Default 8081. */
  readonly controlPort: number;
  /** How long a stop may take, in milliseconds. Default 30,000. */
  readonly deadlineMs: number;
  /** Key-value backend behind `GET /read`; undefined starts the reference backend. */
  readonly readUpstream?: string | undefined;
  /** How long `GET /read` gathers keys, in milliseconds. Default 100. */
  readonly readWindowMs: number;
  /** A PostgreSQL to use in place of the embedded one. */
  readonly databaseUrl?: string | undefined;
}
