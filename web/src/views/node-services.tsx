// System services of the host.
import { useState } from 'preact/hooks';
import { get, post } from '../core/api.ts';
import { t, type Key } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { canNode } from '../core/perms.ts';
import { act, run } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import type { IconName } from '../parts/icon.tsx';
import { Loading } from '../parts/loading.tsx';
import { Menu, MenuItem } from '../parts/menu.tsx';
import { PlainTable, type PlainColumn } from '../parts/plain-table.tsx';
import { Panel } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { useLoad } from '../parts/use.ts';

interface Service { service: string; name: string; desc: string; state: string; 'active-state': string; 'unit-state': string }
type Command = 'start' | 'stop' | 'restart' | 'reload';

const COMMANDS: readonly (readonly [Command, Key, IconName, (s: Service) => boolean])[] = [
  ['start', 'action.start', 'play', (s) => s['active-state'] !== 'active' && s.service !== 'holmd'],
  ['reload', 'node.service.reload', 'check', (s) => s['active-state'] === 'active' && s.service !== 'holmd'],
  ['restart', 'node.service.restart', 'reload', (s) => s['active-state'] === 'active'],
  ['stop', 'node.service.stop', 'stop', (s) => s['active-state'] === 'active' && s.service !== 'holmd'],
];
const LOOKS: Readonly<Record<string, string>> = { active: 'running', failed: 'failed', inactive: 'stopped', activating: 'busy', deactivating: 'busy', reloading: 'busy', refreshing: 'busy' };
/** Says no more than the state does. */
const PLAIN = ['running', 'failed', 'dead'];
/** Without these the node is out of reach, or its guests are. */
const VITAL = ['holmd', 'sshd', 'systemd-networkd', 'nftables', 'systemd-journald'];

export default function NodeServices({ node }: { node: string }) {
  const path = `${nodePath(node)}/services`;
  const list = useLoad(path, '', () => get<Service[]>(path));
  const [ask, setAsk] = useState<{ service: Service; command: Command; title: string } | null>(null);
  const mayChange = canNode(node, 'Sys.Modify');
  const start = (s: Service, command: Command): Promise<unknown> => post(`${path}/${encodeURIComponent(s.service)}/${command}`);
  const choose = async (s: Service, command: Command, title: string): Promise<void> => {
    if (command === 'stop' || (command === 'restart' && VITAL.includes(s.service)))
      return setAsk({ service: s, command, title });
    await act(title, () => start(s, command));
    list.reload();
  };
  const tools = (s: Service) => (
    <Menu label={t('node.service.actions', { name: s.name })} icon="more" isBare tone="ghost">
      {COMMANDS.filter(([, , , fits]) => fits(s)).map(([command, label, icon]) => <MenuItem key={command} icon={icon} isDanger={command === 'stop'} onClick={() => void choose(s, command, `${t(label)}: ${s.name}`)}>{t(label)}</MenuItem>)}
    </Menu>
  );
  const columns: PlainColumn<Service>[] = [
    { id: 'name', title: 'guest.name', cell: (s) => <span class="row"><span class="phone-only"><State state={LOOKS[s['active-state']] ?? ''} isBare /></span><strong>{s.name}</strong></span> },
    { id: 'desc', title: 'node.service.what', yields: 1, cell: (s) => s.desc },
    { id: 'state', title: 'guest.status', yields: 1, cell: (s) => <span class="row"><State state={LOOKS[s['active-state']] ?? s['active-state']} />{!PLAIN.includes(s.state) && <span class="quiet">{s.state}</span>}</span> },
    { id: 'unit', title: 'node.net.autostart', yields: 2, cell: (s) => s['unit-state'] },
    ...(mayChange ? [{ id: 'tools', title: 'more', isTools: true, cell: tools } satisfies PlainColumn<Service>] : []),
  ];
  return (
    <Panel title={t('node.tab.services')} tools={<Button tone="ghost" icon="reload" label={t('node.again')} onClick={list.reload} />}>
      <Loading of={list}>{(all) => <PlainTable label={t('node.tab.services')} columns={columns} rows={[...all].sort((a, b) => a.name.localeCompare(b.name))} idOf={(s) => s.service} toneOf={(s) => (s['active-state'] === 'failed' ? 'bad-row' : undefined)} empty={t('node.service.none')} />}</Loading>
      {ask && <FormDialog title={ask.title} submit={t(ask.command === 'stop' ? 'node.service.stop' : 'node.service.restart')} isDanger onClose={() => setAsk(null)}
        onSubmit={async () => { await run(() => start(ask.service, ask.command)); list.reload(); }}>
        {() => <p>{t(VITAL.includes(ask.service.service) ? 'node.service.vital' : 'node.service.stopText')}</p>}
      </FormDialog>}
    </Panel>
  );
}
