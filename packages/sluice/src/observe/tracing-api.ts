/** The part of `@opentelemetry/api` that we use, by its shape: the package is an optional peer, and is handed in. */

/** A span, as far as we use it. `SC` is its span context. */
export interface TracingSpan<SC> {
  spanContext(): SC;
  setAttribute(name: string, value: string | number | boolean): unknown;
  addEvent(name: string, attributes?: Record<string, string | number | boolean>): unknown;
  setStatus(status: { code: number; message?: string }): unknown;
  end(): void;
}

/** Makes spans. */
export interface TracingTracer<C, SC> {
  startSpan(
    name: string,
    options: {
      kind?: number;
      root?: boolean;
      links?: { context: SC }[];
      attributes?: Record<string, string | number | boolean>;
    },
    context: C,
  ): TracingSpan<SC>;
}

/** What `import * as otel from '@opentelemetry/api'` gives. `C` is a context, `SC` a span context. */
export interface TracingApi<C, SC, S extends TracingSpan<SC>> {
  readonly context: {
    active(): C;
    with<T>(context: C, fn: () => T): T;
  };
  readonly trace: {
    getTracer(name: string): TracingTracer<C, SC>;
    getSpanContext(context: C): SC | undefined;
    setSpan(context: C, span: S): C;
  };
}
