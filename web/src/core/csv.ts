// Tables as files for spreadsheets (RFC 4180).

/** Spreadsheets take a text that begins like this for a formula: a quote keeps it from that. */
const FORMULA = /^[=+\-@\t\r]/;

export function csvCell(value: string | number | undefined): string {
  const text = typeof value === 'string' && FORMULA.test(value) ? `'${value}` : String(value ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export const asCsv = (rows: readonly (readonly (string | number | undefined)[])[]): string => rows.map((row) => `${row.map(csvCell).join(',')}\r\n`).join('');
