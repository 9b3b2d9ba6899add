// What would change when the planned configuration is applied, setting by setting; apply and revert.
import { useState } from 'preact/hooks';
import { del, put } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { differences, inTheWay, reachedOver, type Interface } from '../core/network.ts';
import { LABELS, typeName } from '../core/network-labels.ts';
import { nodePath } from '../core/paths.ts';
import { run } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { Icon } from '../parts/icon.tsx';
import { Panel } from '../parts/small.tsx';

const SIGN = { new: '+', change: '~', delete: '−' } as const;

function Change({ i }: { i: Interface }) {
  const kind = i.pending ?? 'change';
  const list = differences(i.applied, kind === 'delete' ? undefined : i);
  const shown = (key: string, value: string): string => (['nat', 'autostart', 'bridge_vlan_aware'].includes(key) ? t(value === '1' ? 'yes' : 'no') : value);
  return (
    <li class={`diff ${kind}`}>
      <p class="diff-head"><span class="diff-sign" aria-hidden="true">{SIGN[kind]}</span><strong>{i.iface}</strong> <span class="quiet">{typeName(i.type)}</span></p>
      <ul>{list.map((d) => (
        <li key={d.key}><span class="diff-key">{t(LABELS[d.key])}</span>{d.from && <del>{shown(d.key, d.from)}</del>}{d.from && d.to && <span aria-hidden="true"> → </span>}{d.to && <ins>{shown(d.key, d.to)}</ins>}</li>
      ))}</ul>
    </li>
  );
}

const Diff = ({ list }: { list: readonly Interface[] }) => <ul class="diffs">{list.map((i) => <Change key={i.iface} i={i} />)}</ul>;

/** Said before it is done: one may be cutting the branch that one sits on. */
function Warning({ list }: { list: readonly Interface[] }) {
  const host = location.hostname;
  const danger = inTheWay(list, host), mine = reachedOver(list, host);
  if (danger)
    return <p class="notice bad row"><Icon name="warn" /><span>{t('node.net.cutsOff', { name: danger.iface, mine: mine?.iface ?? '', address: host })}</span></p>;
  return <p class="quiet">{mine ? t('node.net.safe', { mine: mine.iface }) : t('node.net.unknownWay')}</p>;
}

export function PendingPanel(p: { node: string; list: readonly Interface[]; mayApply: boolean; onDone: () => void }) {
  const [ask, setAsk] = useState<'apply' | 'revert' | null>(null);
  const path = `${nodePath(p.node)}/network`;
  const pending = p.list.filter((i) => i.pending);
  const isDanger = inTheWay(p.list, location.hostname) !== undefined;
  const close = (): void => setAsk(null);
  const apply = async (): Promise<void> => {
    try {
      await run(() => put(path));
    } finally {
      p.onDone();
    }
  };
  const revert = async (): Promise<void> => { await del(path); p.onDone(); };
  const tools = p.mayApply && <><Button icon="back" onClick={() => setAsk('revert')}>{t('node.net.revert')}</Button><Button tone="main" icon="check" onClick={() => setAsk('apply')}>{t('node.net.apply')}</Button></>;
  return (
    <div class="waiting">
      <Panel title={t('node.net.pending', { n: pending.length })} tools={tools}><Diff list={pending} /></Panel>
      {ask === 'apply' && <FormDialog title={t('node.net.applyTitle')} submit={t('node.net.apply')} isDanger={isDanger} {...(isDanger ? { typeName: p.node } : {})} onClose={close} onSubmit={apply}>
        {() => <><Diff list={pending} /><Warning list={p.list} /><EqualCall method="PUT" path={path} values={{}} command="holm net apply" /></>}
      </FormDialog>}
      {ask === 'revert' && <FormDialog title={t('node.net.revertTitle')} submit={t('node.net.revert')} isDanger onClose={close} onSubmit={revert}>
        {() => <><p>{t('node.net.revertText')}</p><Diff list={pending} /></>}
      </FormDialog>}
    </div>
  );
}
