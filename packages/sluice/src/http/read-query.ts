/** The query of `GET /read`, as a client writes it. */

export { encodeKeys, splitKeys } from '../loader/read-path.js';
