/** Event stream: server-sent events out of bytes, as section 9.2.6 of the HTML standard has them. */

/** One event. */
export interface ServerEvent {
  /** Where the stream stands with it: the last id that came. */
  readonly id: string;
  readonly data: string;
}

/** Longest event, in UTF-16 units: a gateway's items have 1 MiB at most by default. */
const maxEventChars = 64 * 1024 * 1024;

/** Takes bytes and hands on the events that are complete. */
export interface EventStream {
  /** The events that these bytes complete. */
  push(bytes: Uint8Array): ServerEvent[];
  /** The last id that came with its blank line, with or without an event. */
  readonly lastId: string;
}

/** Parses one response; `lastId` is where the one before it stood. Throws a RangeError for an event beyond 64 Mi characters. */
export function createEventStream(lastId = ''): EventStream {
  const decoder = new TextDecoder('utf-8');
  let id = lastId;
  let nextId = lastId;
  let rest = '';
  let data: string[] = [];
  let chars = 0;

  function line(text: string, events: ServerEvent[]): void {
    if (text === '') {
      // Not before: an event that was cut off in the middle has to come again.
      id = nextId;
      if (data.length > 0) events.push({ id, data: data.join('\n') });
      data = [];
      chars = 0;
      return;
    }
    const colon = text.indexOf(':');
    const name = colon === -1 ? text : text.slice(0, colon);
    const value = colon === -1 ? '' : text.slice(text[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (name === 'id' && !value.includes('\0')) nextId = value;
    if (name === 'data') {
      data.push(value);
      chars += value.length;
    }
  }

  return {
    get lastId() {
      return id;
    },
    push(bytes) {
      const events: ServerEvent[] = [];
      rest += decoder.decode(bytes, { stream: true });
      // A CR at the end may be the first half of a CRLF.
      const parts = rest.split(/\r\n|\n|\r(?!$)/);
      rest = parts.pop()!;
      for (const part of parts) line(part, events);
      if (rest.length + chars > maxEventChars) throw new RangeError('an event is too long');
      return events;
    },
  };
}
