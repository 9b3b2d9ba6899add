// Secrets of authenticators (RFC 6238) and their form in RFC 4648 base32. Pure, but for the random bytes.
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const SECRET_BYTES = 20; // as long as SHA-1's output: RFC 4226 asks for that

export function base32(bytes: Uint8Array): string {
  let out = '', buffer = 0, bits = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      out += ALPHABET[(buffer >> bits) & 31];
    }
    buffer &= (1 << bits) - 1;
  }
  return bits ? out + ALPHABET[(buffer << (5 - bits)) & 31] : out;
}

export const newSecret = (): string => base32(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)));

/** The address that authenticators read from a QR code. issuer tells two installations apart. */
export function otpauthUri(issuer: string, userid: string, secret: string): string {
  const e = encodeURIComponent;
  return `otpauth://totp/${e(`${issuer}:${userid}`)}?secret=${secret}&issuer=${e(issuer)}&algorithm=SHA1&digits=6&period=30`;
}

/** In fours, for people who type it. */
export const spaced = (secret: string): string => secret.match(/.{1,4}/g)?.join(' ') ?? secret;
