// The keys of cloud-init: how each is shown and edited. The password is sent and never comes back.
import { useState } from 'preact/hooks';
import { fieldValue, parametersOf, changesOf, type Draft } from '../core/hardware-form.ts';
import { byName, type Values } from '../core/hardware.ts';
import type { Spec } from '../core/hardware-specs.ts';
import { t } from '../core/i18n.ts';
import { parseProperties } from '../core/property.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { Check, Field, Select, TextArea } from '../parts/field.tsx';
import { KeysDialog, Preview, send, type GuestConfig } from './hw-form.tsx';

export interface CiRow {
  key: string;
  title: string;
  shown: (value: string) => string;
  /** What holds without a value. */
  unset: string;
  fields?: readonly Spec[];
  kind: 'form' | 'password' | 'keys' | 'address';
}

const same = (v: string): string => v;

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/** The kind of each key and its comment; the long middle says nobody anything. */
function keysShown(value: string): string {
  return decoded(value).split('\n').filter((line) => line.trim()).map((line) => {
    const [kind, , ...comment] = line.trim().split(/\s+/);
    return `${kind ?? ''} ${comment.join(' ')}`.trim();
  }).join('\n');
}

const row = (key: string, title: string, fields: readonly Spec[], rest: Partial<CiRow> = {}): CiRow => ({ key, title, fields, shown: same, unset: t('ci.unset'), kind: 'form', ...rest });

const CUSTOM: readonly Spec[] = [
  { path: 'cicustom.user', label: 'ci.customUser', kind: 'snippet' }, { path: 'cicustom.network', label: 'ci.customNetwork', kind: 'snippet' },
  { path: 'cicustom.meta', label: 'ci.customMeta', kind: 'snippet' }, { path: 'cicustom.vendor', label: 'ci.customVendor', kind: 'snippet' },
];

export const CI_ROWS = (): CiRow[] => [
  row('ciuser', t('ci.user'), [{ path: 'ciuser', label: 'ci.user', kind: 'text', help: 'ci.userHelp' }], { unset: t('ci.userUnset') }),
  row('cipassword', t('signin.password'), [], { kind: 'password', shown: (v) => (v ? '••••••••' : '') }),
  row('sshkeys', t('ci.keys'), [], { kind: 'keys', shown: keysShown }),
  row('nameserver', t('ci.dns'), [{ path: 'nameserver', label: 'ci.dns', kind: 'text', help: 'ci.listHelp' }], { unset: t('ci.asHost') }),
  row('searchdomain', t('ci.search'), [{ path: 'searchdomain', label: 'ci.search', kind: 'text', help: 'ci.listHelp' }], { unset: t('ci.asHost') }),
  row('ciupgrade', t('ci.upgrade'), [{ path: 'ciupgrade', label: 'ci.upgrade', kind: 'check', fallback: '1' }], { unset: t('yes'), shown: (v) => (v === '' ? '' : v === '1' ? t('yes') : t('no')) }),
  row('citype', t('ci.type'), [{ path: 'citype', label: 'ci.type', kind: 'choice', options: [{ value: 'nocloud', text: 'nocloud' }] }], { unset: 'nocloud' }),
  row('cicustom', t('ci.custom'), CUSTOM),
];

function addressShown(value: string): string {
  const p = parseProperties(value, '');
  const part = (ip: string | undefined, gateway: string | undefined): string => (ip ? (ip === 'dhcp' ? 'DHCP' : ip === 'auto' ? 'SLAAC' : ip) + (gateway ? ` → ${gateway}` : '') : '');
  return [part(p.get('ip'), p.get('gw')), part(p.get('ip6'), p.get('gw6'))].filter(Boolean).join(', ');
}

/** One row for each interface, and for addresses whose interface is gone. */
export function nicKeys(values: Values): CiRow[] {
  const numbers = new Set(Object.keys(values).filter((k) => /^(net|ipconfig)\d+$/.test(k)).map((k) => k.replace(/\D/g, '')));
  return [...numbers].sort(byName).map((n) => row(`ipconfig${n}`, t('ci.address', { net: `net${n}` }), [], { kind: 'address', shown: addressShown, unset: t('ci.addressUnset') }));
}

interface Props { config: GuestConfig; row: CiRow }

function PasswordDialog({ config, row: r }: Props) {
  const [password, setPassword] = useState('');
  const [isGone, setGone] = useState(false);
  const isSet = 'cipassword' in config.values;
  const submit = (): Promise<void> => send(config, r.title, isGone ? { delete: 'cipassword' } : { cipassword: password }, false, ['cipassword']);
  return (
    <FormDialog title={r.title} submit={t('save')} onClose={config.onClose} onSubmit={submit}>
      {(errors) => <>
        {!isGone && <Field label={t('ci.password')} help={t('ci.passwordHelp')} type="password" autocomplete="new-password" value={password} onInput={setPassword} error={errors['cipassword']} isRequired hasFocus />}
        {isSet && <Check label={t('ci.passwordNone')} value={isGone} onChange={setGone} />}
      </>}
    </FormDialog>
  );
}

function KeysOfSsh({ config, row: r }: Props) {
  const [text, setText] = useState(() => decoded(config.values['sshkeys'] ?? ''));
  const clean = text.split('\n').map((line) => line.trim()).filter(Boolean).join('\n');
  const values = clean ? { sshkeys: encodeURIComponent(clean) } : { delete: 'sshkeys' };
  return (
    <FormDialog title={r.title} submit={t('save')} isWide onClose={config.onClose} onSubmit={() => send(config, r.title, values, false, ['sshkeys'])}>
      {(errors) => <>
        <TextArea label={t('ci.keys')} help={t('ci.keysHelp')} value={text} onInput={setText} error={errors['sshkeys']} />
        <Preview config={config} changes={values} />
      </>}
    </FormDialog>
  );
}

type Way = '' | 'dhcp' | 'auto' | 'static';
const wayOf = (ip: string): Way => (ip === '' || ip === 'dhcp' || ip === 'auto' ? ip : 'static');

function Address({ draft, id, version, error, gatewayError, onChange }: { draft: Draft; id: string; version: 4 | 6; error: string | undefined; gatewayError: string | undefined; onChange: (path: string, v: string) => void }) {
  const end = version === 6 ? '6' : '';
  const path = `${id}.ip${end}`, gateway = `${id}.gw${end}`;
  const ip = draft[path] ?? '';
  const [way, setWay] = useState<Way>(wayOf(ip));
  const choose = (next: string): void => {
    setWay(next as Way);
    onChange(path, next === 'static' ? '' : next);
    if (next !== 'static')
      onChange(gateway, '');
  };
  return <>
    <Select label={`IPv${version}`} value={way} options={[['', t('hw.none')], ['dhcp', 'DHCP'], ...(version === 6 ? [['auto', 'SLAAC'] as const] : []), ['static', t('ci.static')]]} onChange={choose} error={way === 'static' ? undefined : error} />
    {way === 'static' && <>
      <Field label={t('ci.ip', { version })} help={version === 4 ? '192.0.2.7/24' : '2001:db8::7/64'} value={ip} onInput={(v) => onChange(path, v)} error={error} isRequired />
      <Field label={t('ci.gateway', { version })} value={draft[gateway] ?? ''} onInput={(v) => onChange(gateway, v)} error={gatewayError} />
    </>}
  </>;
}

function AddressDialog({ config, row: r }: Props) {
  const id = r.key;
  const paths = ['ip', 'gw', 'ip6', 'gw6'].map((name) => `${id}.${name}`);
  const [draft, setDraft] = useState<Draft>(() => Object.fromEntries(paths.map((p) => [p, fieldValue(config.values, p)])));
  const changes = parametersOf(changesOf(config.values, draft));
  const set = (path: string, v: string): void => setDraft((old) => ({ ...old, [path]: v }));
  const isSame = Object.keys(changes).length === 0;
  return (
    <FormDialog title={r.title} submit={t('save')} onClose={config.onClose} onSubmit={() => (isSame ? Promise.resolve() : send(config, r.title, changes, false, paths))}>
      {(errors) => {
        const at = (name: string): string | undefined => errors[`${id}.${name}`] ?? (new RegExp(`\\b${name}=`).test(errors[id] ?? '') ? errors[id] : undefined);
        return <>
          <Address draft={draft} id={id} version={4} error={at('ip')} gatewayError={at('gw')} onChange={set} />
          <Address draft={draft} id={id} version={6} error={at('ip6')} gatewayError={at('gw6')} onChange={set} />
          {!isSame && <Preview config={config} changes={changes} />}
        </>;
      }}
    </FormDialog>
  );
}

export function CloudInitDialog(p: Props) {
  switch (p.row.kind) {
    case 'password': return <PasswordDialog {...p} />;
    case 'keys': return <KeysOfSsh {...p} />;
    case 'address': return <AddressDialog {...p} />;
    default: return <KeysDialog config={p.config} id={p.row.key} title={p.row.title} fields={p.row.fields ?? []} />;
  }
}
