// What may somebody do there, and why? The server says what; the entries that say so are looked up beside it.
import { useEffect, useState } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { get } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { href, place, setQuery } from '../core/router.ts';
import { user } from '../core/session.ts';
import { store } from '../core/store.ts';
import { Waiting } from '../parts/loading.tsx';
import { Empty, Panel } from '../parts/small.tsx';
import { Suggest } from '../parts/suggest.tsx';
import { isLoaded, useLoad } from '../parts/use.ts';
import { listOf, tokensOf, useAcl, usePermissions, usePools, useRoles, useUsers, type AclEntry, type UserRow } from './access-data.ts';
import { byPrivilege, sourcesOf, type Subject } from './access-explain.ts';
import { normalPath, PathField } from './access-path.tsx';
import { byArea } from './access-privileges.tsx';
import { Who } from './access-acl.tsx';

/** Which pools give something on this path; null until they are known. */
function usePoolsOf(path: string): string[] | null {
  const pools = usePools();
  const all = pools.value ?? [];
  const vmid = /^\/vms\/(\d+)$/.exec(path)?.[1], storage = /^\/storage\/([^/]+)$/.exec(path)?.[1];
  const names = all.map((p) => p.poolid).join(' ');
  const members = useLoad(`pools of ${storage ?? ''} ${names}`, '', async () => {
    if (!storage)
      return [];
    const pools = await Promise.all(names.split(' ').filter(Boolean).map((poolid) => get<{ poolid: string; members?: { storage?: string }[] }[]>('/pools', { poolid, type: 'storage' })));
    return pools.flat().filter((p) => p.members?.some((m) => m.storage === storage)).map((p) => p.poolid);
  });
  if (!isLoaded(pools) || !isLoaded(members))
    return null;
  const pool = vmid ? store.tables.guest.row(vmid)?.value.pool : '';
  return pool ? [pool] : members.value ?? [];
}

/** A token with rights of its own counts by its own entries, all others by their user's. */
function subjectOf(who: string, users: readonly UserRow[]): Subject {
  const [userid = '', tokenid] = who.split('!');
  const owner = users.find((u) => u.userid === userid);
  const token = owner?.tokens?.find((k) => k.tokenid === tokenid);
  return tokenid && token?.privsep !== 0 ? { type: 'token', id: who, groups: [] } : { type: 'user', id: userid, groups: listOf(owner?.groups) };
}

function Source({ entries }: { entries: readonly AclEntry[] | undefined }) {
  if (!entries?.length)
    return <span class="quiet">{t('access.check.hidden')}</span>;
  return <>{entries.map((e) => (
    <span key={`${e.path} ${e.ugid} ${e.roleid}`} class="row wrap source">
      <a href={href('access', 'roles', e.roleid)}>{e.roleid}</a><span class="quiet">{t('access.check.on')}</span><span class="mono">{e.path}</span><Who type={e.type} id={e.ugid} />
    </span>
  ))}</>;
}

function Answer({ who, path }: { who: string; path: string }) {
  const { value, error, reload } = usePermissions(who, path);
  const acl = useAcl(), users = useUsers(), roles = useRoles(), pools = usePoolsOf(path);
  if (!value || !pools || ![acl, users, roles].every(isLoaded)) // "nobody gave it" is not said before that is known
    return <Waiting error={error} onRetry={reload} />;
  const has = Object.values(value)[0] ?? {};
  const names = Object.keys(has);
  const sources = sourcesOf(acl.value ?? [], subjectOf(who, users.value ?? []), path, pools);
  const from = byPrivilege(sources, (id) => listOf(roles.value?.find((r) => r.roleid === id)?.privs));
  const isRoot = who === 'root@pam';
  const isLeaf = /^\/(vms|storage|nodes)\/./.test(path); // nothing is below
  const why = (name: string): ComponentChildren => (isRoot ? <span class="quiet">{t('access.check.root')}</span> : <Source entries={from.get(name)} />);
  const nothing = sources.some((e) => e.roleid === 'NoAccess') ? t('access.check.noAccess') : sources.length ? t('access.check.atMost') : t('access.check.noEntry');
  if (!names.length)
    return <Empty icon="shield" title={t('access.check.nothing', { who, path })}><p class="quiet">{nothing}</p></Empty>;
  return (
    <Panel title={t('access.check.title', { who, path })}>
      <div class="answer">
        {byArea(names).map(([title, list]) => (
          <section key={title}>
            <h3>{t(title)}</h3>
            <ul class="rows">{list.map((name) => <li key={name}><span class="mono privilege-name">{name}</span><span class="grow">{why(name)}</span>{has[name] !== 1 && !isLeaf && <span class="quiet">{t('access.acl.hereOnly')}</span>}</li>)}</ul>
          </section>
        ))}
      </div>
    </Panel>
  );
}

export function Check() {
  const users = useUsers().value ?? [];
  const { query } = place.peek();
  const [who, setWho] = useState(query.get('who') ?? user.peek());
  const [path, setPath] = useState(query.get('path') ?? '/');
  useEffect(() => setQuery({ who, path }), [who, path]);
  const isWhole = /^[^\s:/]+@[^\s@/]+$/.test(who) && path.startsWith('/');
  return (
    <>
      <p class="quiet">{t('access.check.help')}</p>
      <div class="fields-2 check-form">
        <Suggest label={t('access.check.who')} help={t('access.check.whoHelp')} value={who} onInput={setWho} suggestions={[...users.map((u) => u.userid), ...tokensOf(users).map((k) => k.id)].map((id) => [id, ''] as const)} />
        <PathField value={path} onInput={setPath} />
      </div>
      {isWhole ? <Answer key={`${who} ${path}`} who={who} path={normalPath(path)} /> : <p class="quiet">{t('access.check.incomplete')}</p>}
    </>
  );
}
