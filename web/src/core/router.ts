// Where in the page we are: the path and the query, as signals. Every view has a path, so that it can be linked to,
// kept as a bookmark and gone back to; holm-front answers each of them with index.html.
import { signal } from '@preact/signals';

export interface Place {
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

function read(): Place {
  if (typeof location === 'undefined')
    return { path: [], query: new URLSearchParams() };
  return parse(location.pathname, location.search);
}

export function parse(pathname: string, search: string): Place {
  const path = pathname.split('/').filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part; // somebody's broken link leads to "no such page", not to a crash
    }
  });
  return { path, query: new URLSearchParams(search) };
}

export const place = signal<Place>(read());

export function go(to: string, options: { replace?: boolean } = {}): void {
  if (options.replace)
    history.replaceState(null, '', to);
  else
    history.pushState(null, '', to);
  place.value = read();
}

/** Changes the query only; what is typed into a search box does not become a step of the history. */
export function setQuery(changes: Readonly<Record<string, string | null>>, options: { push?: boolean } = {}): void {
  const query = new URLSearchParams(place.peek().query);
  for (const [key, value] of Object.entries(changes)) {
    if (value === null || value === '')
      query.delete(key);
    else
      query.set(key, value);
  }
  const text = query.toString();
  go(location.pathname + (text ? `?${text}` : ''), { replace: !options.push });
}

/** Links of the page itself are followed without a reload; all else is the browser's. */
function onClick(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    return;
  const link = event.target instanceof Element ? event.target.closest('a') : null;
  if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin)
    return;
  event.preventDefault();
  go(link.pathname + link.search);
}

export function startRouter(): void {
  addEventListener('popstate', () => { place.value = read(); });
  document.addEventListener('click', onClick);
}

export type PathParams = Readonly<Record<string, string>>;

/** "/guests/:vmid" fits a path of as many parts; null when it does not. */
export function match(pattern: string, path: readonly string[]): PathParams | null {
  const parts = pattern.split('/').filter(Boolean);
  if (parts.length !== path.length)
    return null;
  const params: Record<string, string> = {};
  for (const [i, part] of parts.entries()) {
    const value = path[i] ?? '';
    if (part.startsWith(':'))
      params[part.slice(1)] = value;
    else if (part !== value)
      return null;
  }
  return params;
}

/** An address of the page from its parts, of which some are names that somebody gave. */
export const href = (...parts: readonly (string | number)[]): string => `/${parts.map((part) => encodeURIComponent(part)).join('/')}`;
