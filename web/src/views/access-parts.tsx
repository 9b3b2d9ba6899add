// What the access screens have in common: a searched list, the page of one thing, times that end, passwords.
import { useId } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { dateTime } from '../core/format.ts';
import { language, t } from '../core/i18n.ts';
import { go, place, setQuery } from '../core/router.ts';
import { Button } from '../parts/button.tsx';
import { Field } from '../parts/field.tsx';
import { Icon, type IconName } from '../parts/icon.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Empty } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { ColumnMenu, Table, type Column } from '../parts/table.tsx';
import { useRows } from '../parts/table-rows.ts';
import { isExpired } from './access-data.ts';

export function SearchBox({ label }: { label: string }) {
  return (
    <label class="search-box grow">
      <Icon name="search" /><span class="hidden-text">{label}</span>
      <input type="search" value={place.value.query.get('q') ?? ''} placeholder={label} onInput={(e) => setQuery({ q: e.currentTarget.value })} />
    </label>
  );
}

interface ListProps<T> {
  name: string;
  label: string;
  columns: readonly Column<T>[];
  list: readonly T[] | null;
  error: unknown;
  onRetry: () => void;
  idOf: (row: T) => string;
  /** What the search looks into. */
  textOf: (row: T) => string;
  tools?: ComponentChildren;
  empty: { icon: IconName; title: string; help: string };
  onOpen?: (row: T) => void;
}

/** A list with a search (?q=), tools, and something friendly where it is empty. */
export function SearchedList<T>(p: ListProps<T>) {
  const words = (place.value.query.get('q') ?? '').toLowerCase().split(/\s+/).filter(Boolean);
  const found = (p.list ?? []).filter((row) => words.every((w) => p.textOf(row).toLowerCase().includes(w)));
  const rows = useRows(found, p.idOf);
  if (!p.list)
    return <Waiting error={p.error} onRetry={p.onRetry} />;
  return (
    <>
      <div class="row wrap access-tools">
        {p.list.length > 0 && <SearchBox label={t('access.search')} />}
        <span class="grow" />{p.tools}
        {p.list.length > 0 && <ColumnMenu name={p.name} columns={p.columns} />}
      </div>
      {rows.length > 0
        ? <Table name={p.name} label={p.label} columns={p.columns} rows={rows} idOf={p.idOf} titleOf={p.idOf} firstSort={p.columns[0]?.id ?? ''} {...(p.onOpen ? { onOpen: p.onOpen } : {})} />
        : p.list.length > 0
          ? <Empty icon="search" title={t('access.noMatch')}><Button onClick={() => setQuery({ q: null })}>{t('guests.clear')}</Button></Empty>
          : <Empty icon={p.empty.icon} title={p.empty.title}><p class="quiet">{p.empty.help}</p></Empty>}
    </>
  );
}

/** The page of one thing: the way back, its name, what can be done with it. */
export function Thing(p: { back: string; backText: string; title: string; state?: ComponentChildren; tools?: ComponentChildren; children: ComponentChildren }) {
  return (
    <div class="view">
      <header class="view-head row wrap">
        <div class="grow guest-title thing-title">
          <p class="crumbs"><a href={p.back}>{p.backText}</a></p>
          <h1 class="row wrap"><span class="access-name">{p.title}</span>{p.state}</h1>
        </div>
        <div class="row wrap">{p.tools}</div>
      </header>
      {p.children}
    </div>
  );
}

/** There is no such thing, or nobody says so to this user. */
export function Gone({ back, backText, icon }: { back: string; backText: string; icon: IconName }) {
  return <div class="view"><Empty icon={icon} title={t('access.gone')}><a href={back}>{backText}</a></Empty></div>;
}

/** After deleting what the page is about. */
export const leaveTo = (path: string): void => go(path, { replace: true });

export function Expiry({ expire }: { expire: number | undefined }) {
  if (!expire)
    return <span class="quiet">{t('access.never')}</span>;
  const day = new Intl.DateTimeFormat(language.value, { dateStyle: 'medium' }).format(expire * 1000);
  return <time class={isExpired(expire) ? 'warn-text num' : 'num'} title={dateTime(expire)}>{day}</time>;
}

/** Enabled, expired or disabled: by colour and shape. */
export function Validity({ enable, expire }: { enable?: number | undefined; expire?: number | undefined }) {
  if (enable === 0)
    return <State state="stopped" word={t('access.disabled')} />;
  return isExpired(expire) ? <State state="warning" word={t('access.expired')} /> : <State state="ok" word={t('access.enabled')} />;
}

const pad = (n: number): string => String(n).padStart(2, '0');

/** Seconds since 1970 as <input type="datetime-local"> wants it, and back; '' and 0 are never. */
export function toLocal(expire: number): string {
  if (!expire)
    return '';
  const d = new Date(expire * 1000);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}T${pad(d.getHours())}:${pad(d.getMinutes())}`;
}
export const fromLocal = (text: string): number => (text ? Math.floor(new Date(text).getTime() / 1000) || 0 : 0);

export function DateField(p: { label: string; value: string; onInput: (value: string) => void; error?: string | undefined; help?: string }) {
  const id = useId();
  const note = p.error ?? p.help;
  return (
    <div class={p.error ? 'field wrong' : 'field'}>
      <label for={id}>{p.label}</label>
      <input id={id} type="datetime-local" value={p.value} aria-describedby={note ? `${id}-e` : undefined} onInput={(e) => p.onInput(e.currentTarget.value)} />
      {note && <p class={p.error ? 'field-error' : 'field-help'} id={`${id}-e`}>{note}</p>}
    </div>
  );
}

/** One's own password, to confirm what a stolen session must not be able to do. */
export function OwnPassword(p: { value: string; onInput: (value: string) => void; error: string | undefined; hasFocus?: boolean }) {
  return <Field label={t('access.ownPassword')} help={t('access.ownPasswordHelp')} type="password" name="current-password" autocomplete="current-password" value={p.value} onInput={p.onInput} error={p.error} isRequired hasFocus={p.hasFocus ?? false} />;
}

/** A new password, twice. */
export function NewPassword(p: { value: string; again: string; onInput: (value: string) => void; onAgain: (value: string) => void; error: string | undefined; isRequired: boolean }) {
  return (
    <>
      <Field label={t('access.newPassword')} help={t('access.newPasswordHelp')} type="password" name="new-password" autocomplete="new-password" value={p.value} onInput={p.onInput} error={p.error} isRequired={p.isRequired} />
      <Field label={t('access.again')} type="password" name="new-password-again" autocomplete="new-password" value={p.again} onInput={p.onAgain} isRequired={p.isRequired || p.value !== ''}
        error={p.again && p.again !== p.value ? t('access.differs') : undefined} />
    </>
  );
}

export function Tags({ names, path }: { names: readonly string[]; path?: (name: string) => string }) {
  if (!names.length)
    return <span class="quiet">–</span>;
  return <span class="row tags">{names.map((n) => (path ? <a key={n} class="tag" href={path(n)}>{n}</a> : <span key={n} class="tag">{n}</span>))}</span>;
}
