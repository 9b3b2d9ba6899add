// The terminal's protocol inside the WebSocket: the client says who it is, the server OK; then the server's bytes are the
// guest's, and the client's are messages: 0:LENGTH:DATA, 1:COLUMNS:ROWS: and 2, which keeps the connection.
const PIECE_BYTES = 4096;
const encoder = new TextEncoder();

export const hello = (user: string, ticket: string): Uint8Array<ArrayBuffer> => encoder.encode(`${user}:${ticket}\n`);
export const resizeMessage = (columns: number, rows: number): Uint8Array<ArrayBuffer> => encoder.encode(`1:${columns}:${rows}:`);
export const keepAlive = (): Uint8Array<ArrayBuffer> => encoder.encode('2');

/** Input in messages of a bounded size; lengths count bytes. */
export function inputMessages(text: string): Uint8Array<ArrayBuffer>[] {
  const data = encoder.encode(text);
  const out: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < data.length; at += PIECE_BYTES) {
    const piece = data.subarray(at, at + PIECE_BYTES);
    const head = encoder.encode(`0:${piece.length}:`);
    const message = new Uint8Array(head.length + piece.length);
    message.set(head);
    message.set(piece, head.length);
    out.push(message);
  }
  return out;
}

/** Takes the two bytes of the server's OK off the stream, wherever frames part it. */
export class Greeting {
  private seen = '';

  get isDone(): boolean {
    return this.seen === 'OK';
  }

  /** What follows the OK; null: it was refused. */
  take(data: Uint8Array): Uint8Array | null {
    let at = 0;
    while (!this.isDone && at < data.length)
      this.seen += String.fromCharCode(data[at++] ?? 0);
    return 'OK'.startsWith(this.seen) ? data.subarray(at) : null;
  }
}

/** What a terminal says by itself when the guest asks: where the cursor is, what it can do, which colours it has. */
const ANSWER = /^\x1b(?:\[\??\d+;\d+(?:;\d+)?R|\[0n|\[[?>=][\d;]*c|\[\??\d+;\d+\$y|\[[\d;]+t|\][\d;]+;rgb:[^\x07\x1b]*(?:\x07|\x1b\\)|P[^\x1b]*\x1b\\)$/;
export const isAnswer = (data: string): boolean => ANSWER.test(data);

/** A letter with Ctrl, as terminals send it; what has none stays. */
export function withControl(char: string): string {
  const code = char.toUpperCase().charCodeAt(0);
  if (char.length !== 1 || code < 0x40 || code > 0x5f)
    return char === ' ' ? '\0' : char === '?' ? '\x7f' : char;
  return String.fromCharCode(code & 0x1f);
}
