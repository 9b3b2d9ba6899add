// How the host is set up: name servers, time, host names, settings of the node, certificates.
import { useState } from 'preact/hooks';
import { get, post, put } from '../core/api.ts';
import { dateTime } from '../core/format.ts';
import { language, t } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { can, canNode } from '../core/perms.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { Field, TextArea } from '../parts/field.tsx';
import { Loading } from '../parts/loading.tsx';
import { Facts, Panel } from '../parts/small.tsx';
import { useLoad } from '../parts/use.ts';
import { NodeCertificates } from './node-certificates.tsx';
import { NodeOptions } from './node-options.tsx';
import { ZoneField } from './node-zone.tsx';

interface Dns { search?: string; dns1?: string; dns2?: string; dns3?: string }
interface Time { timezone: string; time: number; localtime: number }
interface Hosts { data: string; digest?: string }
interface EditProps<T> { path: string; value: T; onDone: () => void; onClose: () => void }

const SERVERS = ['dns1', 'dns2', 'dns3'] as const;

function DnsDialog({ path, value, onDone, onClose }: EditProps<Dns>) {
  const [dns, setDns] = useState<Dns>(value);
  const values = { search: dns.search ?? '', ...Object.fromEntries(SERVERS.map((k) => [k, dns[k] || undefined])) };
  const submit = async (): Promise<void> => { await put(path, values); onDone(); };
  return (
    <FormDialog title={t('node.dns.title')} submit={t('save')} onSubmit={submit} onClose={onClose}>
      {(fields) => <>
        <Field label={t('node.dns.search')} value={dns.search ?? ''} onInput={(search) => setDns({ ...dns, search })} error={fields['search']} isRequired hasFocus />
        {SERVERS.map((k, i) => <Field key={k} label={t('node.dns.server', { n: i + 1 })} value={dns[k] ?? ''} onInput={(v) => setDns({ ...dns, [k]: v })} error={fields[k]} />)}
        <EqualCall method="PUT" path={path} values={values} />
      </>}
    </FormDialog>
  );
}

function ZoneDialog({ path, value, onDone, onClose }: EditProps<Time>) {
  const [timezone, setZone] = useState(value.timezone);
  const submit = async (): Promise<void> => { await put(path, { timezone }); onDone(); };
  return (
    <FormDialog title={t('node.time.zone')} submit={t('save')} onSubmit={submit} onClose={onClose}>
      {(fields) => <><ZoneField value={timezone} onInput={setZone} error={fields['timezone']} /><EqualCall method="PUT" path={path} values={{ timezone }} /></>}
    </FormDialog>
  );
}

function HostsDialog({ path, value, onDone, onClose }: EditProps<Hosts>) {
  const [data, setData] = useState(value.data);
  // The digest: a change by somebody else in the meantime is not overwritten.
  const submit = async (): Promise<void> => { await post(path, { data, digest: value.digest }); onDone(); };
  return (
    <FormDialog title="/etc/hosts" submit={t('save')} onSubmit={submit} onClose={onClose}>
      {(fields) => <div class="tall code-field"><TextArea label={t('node.hosts.content')} value={data} onInput={setData} error={fields['data']} help={t('node.hosts.help')} /></div>}
    </FormDialog>
  );
}

export default function NodeSystem({ node }: { node: string }) {
  const path = nodePath(node);
  const dns = useLoad(`dns ${node}`, '', () => get<Dns>(`${path}/dns`));
  const time = useLoad(`time ${node}`, '', () => get<Time>(`${path}/time`));
  const seesHosts = can('/', 'Sys.Audit');
  const hosts = useLoad(`hosts ${node} ${seesHosts}`, '', () => (seesHosts ? get<Hosts>(`${path}/hosts`) : Promise.resolve(null)));
  const [edited, setEdited] = useState<'dns' | 'time' | 'hosts' | null>(null);
  const close = (): void => setEdited(null);
  const edit = (what: 'dns' | 'time' | 'hosts', name: string, isThere: boolean) =>
    canNode(node, 'Sys.Modify') && isThere && <Button tone="ghost" icon="edit" label={t('config.edit', { what: name })} onClick={() => setEdited(what)} />;
  return (
    <div class="stack">
      <div class="board">
        <Panel title={t('node.dns.title')} tools={edit('dns', t('node.dns.title'), dns.value !== null)}>
          <Loading of={dns}>{(d) => <Facts facts={[[t('node.dns.search'), d.search || '–'], ...SERVERS.filter((k) => d[k]).map((k, i) => [t('node.dns.server', { n: i + 1 }), <span class="num">{d[k]}</span>] as const)]} />}</Loading>
        </Panel>
        <Panel title={t('node.time.title')} tools={edit('time', t('node.time.zone'), time.value !== null)}>
          <Loading of={time}>{(x) => <Facts facts={[[t('node.time.zone'), x.timezone], [t('node.time.host'), new Intl.DateTimeFormat(language.value, { dateStyle: 'medium', timeStyle: 'medium', timeZone: 'UTC' }).format(x.localtime * 1000)], [t('node.time.here'), dateTime(x.time)]]} />}</Loading>
        </Panel>
        <NodeOptions node={node} />
        {seesHosts && <Panel title="/etc/hosts" tools={edit('hosts', '/etc/hosts', !!hosts.value)}>
          <Loading of={hosts}>{(h) => <pre class="code hosts" tabIndex={0} aria-label="/etc/hosts">{h?.data}</pre>}</Loading>
        </Panel>}
      </div>
      <NodeCertificates node={node} />
      {edited === 'dns' && dns.value && <DnsDialog path={`${path}/dns`} value={dns.value} onDone={dns.reload} onClose={close} />}
      {edited === 'time' && time.value && <ZoneDialog path={`${path}/time`} value={time.value} onDone={time.reload} onClose={close} />}
      {edited === 'hosts' && hosts.value && <HostsDialog path={`${path}/hosts`} value={hosts.value} onDone={hosts.reload} onClose={close} />}
    </div>
  );
}
