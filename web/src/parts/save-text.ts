const KEPT_MS = 60_000; // until every browser has begun to write

/** Has the browser save something as a file. */
export function saveFile(name: string, parts: BlobPart[], type = 'application/octet-stream'): void {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}

export const saveText = (name: string, text: string, type = 'text/plain'): void => saveFile(name, [text], type);
