// The dialog that the address names, if the user may open it.
import { defOf } from '../core/config-keys.ts';
import { t } from '../core/i18n.ts';
import { lazy } from './routes.tsx';
import { AddDialog } from './hw-add.tsx';
import { BootDialog } from './hw-boot.tsx';
import { DRIVE_DIALOGS, RemoveDialog } from './hw-drives.tsx';
import { DiskOptions } from './hw-disk.tsx';
import { KeysDialog, type GuestConfig } from './hw-form.tsx';
import { actionsOf, type Action } from './hw-may.ts';
import { opened } from './hw-open.ts';
import { rowTitle } from './hw-rows.tsx';

const AnyKeyDialog = lazy<{ config: GuestConfig; id: string }>('guest', () => import('./hw-any.tsx'));

export function Dialogs({ config }: { config: GuestConfig }) {
  const { edit: id, action: wantedAction, add } = opened();
  if (add === 'any')
    return <AnyKeyDialog config={config} id="" />;
  if (add)
    return <AddDialog key={add} config={config} what={add} />;
  if (!id)
    return null;
  if (wantedAction === 'any')
    return <AnyKeyDialog key={id} config={config} id={id} />;
  const action = (wantedAction || 'edit') as Action;
  if (!actionsOf(id, config.values, config.guest).includes(action))
    return null;
  const def = defOf(id);
  const what = rowTitle({ key: id, def }, config.values);
  const key = `${id} ${action}`;
  if (action === 'remove')
    return <RemoveDialog key={key} config={config} id={id} what={what} />;
  if (action !== 'edit') {
    const Found = DRIVE_DIALOGS[action];
    return <Found key={key} config={config} id={id} what={what} />;
  }
  switch (def.dialog) {
    case 'drive': return <DiskOptions key={key} config={config} id={id} what={what} />;
    case 'boot': return <BootDialog key={key} config={config} />;
    case 'any': return <AnyKeyDialog key={key} config={config} id={id} />;
    default: return <KeysDialog key={key} config={config} id={id} title={t('config.edit', { what })} fields={def.fields ?? []} />;
  }
}
