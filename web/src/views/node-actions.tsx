// What can be done with a whole node: its guests together, and the host itself.
import { useState } from 'preact/hooks';
import { post } from '../core/api.ts';
import { t, type Key } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { canGuest, canNode } from '../core/perms.ts';
import { store, type Guest } from '../core/store.ts';
import { run } from '../core/tasks.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import type { IconName } from '../parts/icon.tsx';
import { Menu, MenuItem } from '../parts/menu.tsx';
import { ALL_GUESTS, AllGuestsDialog, type AllGuests } from './node-all-guests.tsx';

type Power = 'reboot' | 'shutdown';
type Ask = { kind: 'power'; command: Power } | { kind: 'guests'; action: AllGuests } | null;

const POWER: readonly (readonly [Power, Key, Key, IconName])[] = [['reboot', 'node.reboot', 'node.rebootText', 'reload'], ['shutdown', 'node.shutdown', 'node.shutdownText', 'power']];

const guestsOn = (node: string): Guest[] => store.tables.guest.all().map((g) => g.value).filter((g) => g.node === node);

function PowerDialog({ node, command, onClose }: { node: string; command: Power; onClose: () => void }) {
  const [, title, text] = POWER.find(([id]) => id === command) ?? POWER[0]!;
  const running = guestsOn(node).filter((g) => g.status !== 'stopped').length;
  const path = `${nodePath(node)}/status`;
  return (
    <FormDialog title={`${t(title)}: ${node}`} submit={t(title)} isDanger typeName={node} onClose={onClose} onSubmit={() => run(() => post(path, { command }))}>
      {() => <><p>{t(text)}</p><p>{t('node.powerGuests', { n: running })}</p><EqualCall method="POST" path={path} values={{ command }} /></>}
    </FormDialog>
  );
}

export function NodeActions({ node }: { node: string }) {
  const [ask, setAsk] = useState<Ask>(null);
  const close = (): void => setAsk(null);
  const mayGuests = guestsOn(node).some((g) => canGuest(g.vmid, 'VM.PowerMgmt')), mayPower = canNode(node, 'Sys.PowerMgmt');
  if (!mayGuests && !mayPower)
    return null;
  return (
    <div class="row">
      {mayGuests && <Menu label={t('node.allGuests')} icon="guests">
        {ALL_GUESTS.map((action) => <MenuItem key={action.id} icon={action.icon} onClick={() => setAsk({ kind: 'guests', action })}>{t(action.label)}</MenuItem>)}
      </Menu>}
      {mayPower && <Menu label={t('node.power')} icon="power">
        {POWER.map(([command, title, , icon]) => <MenuItem key={command} icon={icon} isDanger onClick={() => setAsk({ kind: 'power', command })}>{t(title)}</MenuItem>)}
      </Menu>}
      {ask?.kind === 'power' && <PowerDialog node={node} command={ask.command} onClose={close} />}
      {ask?.kind === 'guests' && <AllGuestsDialog node={node} action={ask.action} onClose={close} />}
    </div>
  );
}
