// Uploads in pieces over HTTP. XMLHttpRequest, because fetch does not tell how much of a body has gone.
import { ApiError, csrfToken, del, errorFrom, get, post, sessionLost } from './api.ts';
import { storagePath } from './paths.ts';
import { run } from './tasks.ts';
import type { Part, Transport } from './upload.ts';

const SILENCE_MS = 60_000; // a connection that was lost without a word

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function putBytes(path: string, piece: Blob, onProgress: (bytes: number) => void, signal: AbortSignal): Promise<Part> {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    const session = csrfToken();
    const abort = (): void => request.abort();
    let timer = setTimeout(abort, SILENCE_MS);
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      settle();
    };
    request.upload.onprogress = (e) => {
      clearTimeout(timer);
      timer = setTimeout(abort, SILENCE_MS);
      onProgress(e.loaded);
    };
    request.onload = () => end(() => {
      const body = parse(request.responseText) as { data?: Part } | null;
      if (request.status === 200 && body?.data)
        done(body.data);
      else
        fail(errorFrom(request.status, request.statusText, body));
      if (request.status === 401 && session === csrfToken())
        sessionLost.value++;
    });
    request.onerror = request.onabort = () => end(() => fail(new ApiError(0, 'unreachable')));
    request.open('PUT', `/api2/json${path}`);
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.setRequestHeader('CSRFPreventionToken', session);
    signal.addEventListener('abort', abort);
    request.send(piece);
  });
}

export const uploadsPath = (node: string, storage: string): string => `${storagePath(node, storage)}/uploads`;

const partPath = (node: string, storage: string, id: string): string => `${uploadsPath(node, storage)}/${encodeURIComponent(id)}`;

export const removePart = (node: string, storage: string, id: string): Promise<null> => del<null>(partPath(node, storage, id));

export function httpTransport(node: string, storage: string): Transport {
  const path = uploadsPath(node, storage);
  return {
    list: () => get<Part[]>(path),
    look: (id) => get<Part>(partPath(node, storage, id)),
    begin: (filename, content, size) => post<Part>(path, { filename, content, size }),
    // A Blob of no type: the request keeps the one that is set.
    send: (id, offset, piece, onProgress, signal) => putBytes(`${partPath(node, storage, id)}?offset=${offset}`, piece, onProgress, signal),
    finish: (id, checksum) => run(() => post(`${partPath(node, storage, id)}/finish`, { checksum: checksum.value, 'checksum-algorithm': checksum.algorithm })),
    stamp: async (content, filename) => {
      const list = await get<{ volid: string; ctime?: number; size: number }[]>(`${storagePath(node, storage)}/content`, { content });
      const found = list.find((v) => v.volid === `${storage}:${content}/${filename}`);
      return found ? `${found.ctime ?? 0} ${found.size}` : '';
    },
  };
}
