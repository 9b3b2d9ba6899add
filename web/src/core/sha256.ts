// SHA-256 (FIPS 180-4) of data that comes piece by piece. The browser's own wants all of it at once, and what is
// uploaded may be larger than the memory.

const isPrime = (n: number): boolean => {
  for (let d = 2; d * d <= n; d++) {
    if (n % d === 0)
      return false;
  }
  return true;
};

/** The first 32 bits of the fractional parts of a root of the first n primes. Signed words, as everywhere here: what
 * engines compute with as integers. */
function roots(n: number, power: number): Int32Array {
  const out = new Int32Array(n);
  for (let at = 0, p = 2; at < n; p++) {
    if (isPrime(p))
      out[at++] = Math.floor((p ** power % 1) * 2 ** 32);
  }
  return out;
}

const K = roots(64, 1 / 3);
const START = roots(8, 1 / 2);
const BLOCK = 64;

const rotated = (x: number, n: number): number => (x >>> n) | (x << (32 - n));

/** One block into the state; w is room for 64 words, used again for every block. */
function compress(state: Int32Array, w: Int32Array, bytes: Uint8Array, from: number): void {
  for (let i = 0, p = from; i < 16; i++, p += 4)
    w[i] = (bytes[p]! << 24) | (bytes[p + 1]! << 16) | (bytes[p + 2]! << 8) | bytes[p + 3]!;
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15]!, y = w[i - 2]!;
    w[i] = (w[i - 16]! + w[i - 7]! + (rotated(x, 7) ^ rotated(x, 18) ^ (x >>> 3)) + (rotated(y, 17) ^ rotated(y, 19) ^ (y >>> 10))) | 0;
  }
  let a = state[0]!, b = state[1]!, c = state[2]!, d = state[3]!, e = state[4]!, f = state[5]!, g = state[6]!, h = state[7]!;
  for (let i = 0; i < 64; i++) {
    const t1 = (h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + ((e & f) ^ (~e & g)) + K[i]! + w[i]!) | 0;
    const t2 = ((rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
  }
  state[0]! += a; state[1]! += b; state[2]! += c; state[3]! += d;
  state[4]! += e; state[5]! += f; state[6]! += g; state[7]! += h;
}

export class Sha256 {
  private readonly state = Int32Array.from(START);
  private readonly rest = new Uint8Array(BLOCK);
  private readonly words = new Int32Array(64);
  private nRest = 0;
  /** How many bytes it has taken. */
  length = 0;

  update(bytes: Uint8Array): void {
    this.length += bytes.length;
    let at = 0;
    if (this.nRest) {
      at = Math.min(BLOCK - this.nRest, bytes.length);
      this.rest.set(bytes.subarray(0, at), this.nRest);
      this.nRest += at;
      if (this.nRest < BLOCK)
        return;
      compress(this.state, this.words, this.rest, 0);
      this.nRest = 0;
    }
    for (; at + BLOCK <= bytes.length; at += BLOCK)
      compress(this.state, this.words, bytes, at);
    this.rest.set(bytes.subarray(at));
    this.nRest = bytes.length - at;
  }

  /** Goes on by itself; what was taken so far is taken by both. */
  clone(): Sha256 {
    const out = new Sha256();
    out.state.set(this.state);
    out.rest.set(this.rest);
    out.nRest = this.nRest;
    out.length = this.length;
    return out;
  }

  hex(): string {
    const end = this.clone();
    const bits = this.length * 8;
    const tail = new Uint8Array((end.nRest < 56 ? 56 : 120) - end.nRest + 8);
    tail[0] = 0x80;
    const view = new DataView(tail.buffer);
    view.setUint32(tail.length - 8, Math.floor(bits / 2 ** 32));
    view.setUint32(tail.length - 4, bits % 2 ** 32);
    end.update(tail);
    return [...end.state].map((x) => (x >>> 0).toString(16).padStart(8, '0')).join('');
  }
}
