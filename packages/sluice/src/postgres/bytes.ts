/** bytes: a buffer that grows while PostgreSQL's binary values are written into it. */

import type { WellFormed } from './field-text.js';

/** Thrown by nobody: `false` says that a value cannot be written here, and nothing of it counts. A class: each value of each row goes through it. */
export class Bytes {
  buffer: Buffer;
  /** Bytes written. */
  at = 0;

  constructor(capacity: number) {
    this.buffer = Buffer.allocUnsafeSlow(capacity);
  }

  written(): Buffer {
    return this.buffer.subarray(0, this.at);
  }

  reserve(bytes: number): void {
    if (this.at + bytes <= this.buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.buffer.length * 2, this.at + bytes));
    this.buffer.copy(larger, 0, 0, this.at);
    this.buffer = larger;
  }

  byte(value: number): void {
    this.reserve(1);
    this.buffer[this.at++] = value;
  }

  int16(value: number): void {
    this.reserve(2);
    this.at = this.buffer.writeInt16BE(value, this.at);
  }

  int32(value: number): void {
    this.reserve(4);
    this.at = this.buffer.writeInt32BE(value, this.at);
  }

  /** Any whole number of 64 bits. */
  int64(value: number | bigint): void {
    this.reserve(8);
    if (typeof value === 'bigint') {
      this.at = this.buffer.writeBigInt64BE(value, this.at);
      return;
    }
    // Exact for safe integers: the quotient and the rest are whole, and both fit.
    const high = Math.floor(value / 4_294_967_296);
    this.buffer.writeInt32BE(high, this.at);
    this.buffer.writeUInt32BE(value - high * 4_294_967_296, this.at + 4);
    this.at += 8;
  }

  float64(value: number): void {
    this.reserve(8);
    this.at = this.buffer.writeDoubleBE(value, this.at);
  }

  float32(value: number): void {
    this.reserve(4);
    this.at = this.buffer.writeFloatBE(value, this.at);
  }

  copy(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** UTF-8, behind its length in bytes plus `lead`; `false` for a NUL or half of a surrogate pair, which PostgreSQL cannot hold. */
  text(text: string, lead: 0 | 1 = 0): boolean {
    const start = this.at;
    if (text.length <= shortText && this.#ascii(text, lead)) return true;
    this.at = start;
    if (text.includes('\0') || !(text as WellFormed).isWellFormed()) return false;
    this.reserve(5 + (text.length > 4096 ? Buffer.byteLength(text) : text.length * 3));
    const length = this.buffer.write(text, start + 4 + lead);
    this.buffer.writeInt32BE(length + lead, start);
    if (lead === 1) this.buffer[start + 4] = 1;
    this.at = start + 4 + lead + length;
    return true;
  }

  /** The call into native code costs more than a few letters do. */
  #ascii(text: string, lead: 0 | 1): boolean {
    const { length } = text;
    this.reserve(5 + length);
    const { buffer } = this;
    let at = this.at;
    buffer[at] = 0;
    buffer[at + 1] = 0;
    buffer[at + 2] = 0;
    buffer[at + 3] = length + lead;
    at += 4;
    if (lead === 1) buffer[at++] = 1;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code === 0 || code > 127) return false;
      buffer[at++] = code;
    }
    this.at = at;
    return true;
  }
}

/** Measured: up to here the loop is quicker than Buffer.write. */
const shortText = 24;
