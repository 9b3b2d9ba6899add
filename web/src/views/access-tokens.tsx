// API tokens: those of everybody whom one may see, those of one user, and one of them.
import { useState } from 'preact/hooks';
import { t } from '../core/i18n.ts';
import { go, href } from '../core/router.ts';
import { Button } from '../parts/button.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Facts, Panel } from '../parts/small.tsx';
import type { Column } from '../parts/table.tsx';
import { AclPanel } from './access-acl.tsx';
import { mayTokens, maySeePermissionsOf, tokensOf, useUsers, type Token, type UserRow } from './access-data.ts';
import { EffectivePermissions } from './access-effective.tsx';
import { Expiry, Gone, leaveTo, SearchedList, Thing, Validity } from './access-parts.tsx';
import { CreateToken, DeleteToken, EditToken, RegenerateToken, TokenSecret, type Made } from './access-token-dialogs.tsx';

const tokenHref = (id: string): string => href('access', 'tokens', id);
const rightsOf = (k: Token): string => (k.privsep === 0 ? t('access.token.asUser') : t('access.token.ownRights'));

const COLUMNS: readonly Column<Token>[] = [
  { id: 'token', title: 'access.token', cell: (k) => <span class="name-cell"><a href={tokenHref(k.id)}>{k.id}</a></span>, sort: (k) => k.id },
  { id: 'rights', title: 'access.token.rights', yields: 1, width: '11rem', cell: rightsOf, sort: (k) => k.privsep ?? 1 },
  { id: 'expire', title: 'access.expires', width: '8rem', cell: (k) => <Expiry expire={k.expire} />, sort: (k) => k.expire || undefined },
  { id: 'comment', title: 'access.comment', yields: 1, width: '18rem', cell: (k) => k.comment ?? '', sort: (k) => k.comment },
];

export function TokenList() {
  const { value, error, reload } = useUsers();
  const [isCreating, setCreating] = useState(false);
  const owners = (value ?? []).filter(mayTokens).map((u) => u.userid);
  return (
    <>
      <SearchedList name="tokens" label={t('access.tokens')} columns={COLUMNS} list={value && tokensOf(value)} error={error} onRetry={reload} idOf={(k) => k.id}
        textOf={(k) => `${k.id} ${k.comment ?? ''}`} onOpen={(k) => go(tokenHref(k.id))}
        tools={owners.length > 0 && <Button tone="main" icon="plus" onClick={() => setCreating(true)}>{t('access.token.create')}</Button>}
        empty={{ icon: 'key', title: t('access.tokens.none'), help: t('access.tokens.help') }} />
      {isCreating && <CreateToken users={owners} onClose={() => setCreating(false)} />}
    </>
  );
}

export function TokenPanel({ user, mayChange }: { user: UserRow; mayChange: boolean }) {
  const [isCreating, setCreating] = useState(false);
  const tokens = tokensOf([user]);
  return (
    <Panel title={t('access.tokens')} tools={mayChange && <Button icon="plus" onClick={() => setCreating(true)}>{t('access.token.create')}</Button>}>
      {tokens.length === 0 ? <p class="quiet pad">{t('access.tokens.help')}</p> : <ul class="rows">
        {tokens.map((k) => (
          <li key={k.id}>
            <a class="grow ellipsis" href={tokenHref(k.id)}>{k.tokenid}</a>
            <span class="quiet ellipsis yields-1">{k.comment}</span><span class="quiet">{rightsOf(k)}</span><Expiry expire={k.expire} />
          </li>
        ))}
      </ul>}
      {isCreating && <CreateToken users={[user.userid]} onClose={() => setCreating(false)} />}
    </Panel>
  );
}

export function TokenPage({ id }: { id: string }) {
  const { value, error, reload } = useUsers();
  const [ask, setAsk] = useState<'edit' | 'regenerate' | 'delete' | null>(null);
  const [made, setMade] = useState<Made | null>(null);
  if (!value)
    return <Waiting error={error} onRetry={reload} />;
  const token = tokensOf(value).find((k) => k.id === id);
  const owner = value.find((u) => u.userid === token?.userid);
  if (!token || !owner)
    return <Gone back="/access/tokens" backText={t('access.tokens')} icon="key" />;
  const close = (): void => setAsk(null);
  return (
    <Thing back="/access/tokens" backText={t('access.tokens')} title={id} state={<Validity enable={owner.enable} expire={token.expire} />} tools={mayTokens(owner) && <>
      <Button icon="edit" onClick={() => setAsk('edit')}>{t('access.edit')}</Button>
      <Button icon="reload" onClick={() => setAsk('regenerate')}>{t('access.token.regenerate')}</Button>
      <Button icon="trash" onClick={() => setAsk('delete')}>{t('access.delete')}</Button>
    </>}>
      <Panel title={t('guest.about')}>
        <Facts facts={[
          [t('access.user'), <a href={href('access', 'users', token.userid)}>{token.userid}</a>], [t('access.token.rights'), rightsOf(token)],
          [t('access.expires'), <Expiry expire={token.expire} />], [t('access.comment'), token.comment || '–'],
        ]} />
      </Panel>
      {token.privsep !== 0 && <AclPanel type="token" id={id} />}
      {maySeePermissionsOf(id) && <EffectivePermissions who={id} />}
      {ask === 'edit' && <EditToken token={token} onClose={close} />}
      {ask === 'regenerate' && <RegenerateToken token={token} onMade={setMade} onClose={close} />}
      {ask === 'delete' && <DeleteToken token={token} onDone={() => leaveTo('/access/tokens')} onClose={close} />}
      {made && <TokenSecret made={made} onClose={() => setMade(null)} />}
    </Thing>
  );
}
