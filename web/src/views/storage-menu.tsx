// What can be done with a storage as such: change its settings, switch it on and off, remove it.
import { del, put } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import type { StorageConfig } from '../core/storages.ts';
import { act, run } from '../core/tasks.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { Menu, MenuItem } from '../parts/menu.tsx';
import { mayConfigure } from './storage-data.ts';
import { StorageForm } from './storage-form.tsx';

export type StorageAsk = { what: 'edit' | 'remove'; config: StorageConfig } | null;

const pathOf = (config: StorageConfig): string => `/storage/${encodeURIComponent(config.storage)}`;

export async function switchStorage(config: StorageConfig, isOn: boolean, onDone: () => void): Promise<void> {
  const what = t(isOn ? 'storage.enableOf' : 'storage.disableOf', { name: config.storage });
  await act(what, () => put(pathOf(config), { disable: !isOn }));
  onDone();
}

function RemoveDialog({ config, onDone, onClose }: { config: StorageConfig; onDone: () => void; onClose: () => void }) {
  const remove = async (): Promise<void> => {
    await run(() => del(pathOf(config)));
    onDone();
  };
  return (
    <FormDialog title={t('storage.removeOf', { name: config.storage })} submit={t('storage.remove')} isDanger typeName={config.storage} onSubmit={remove} onClose={onClose}>
      {() => <p>{t('storage.removeText', { path: config.path ?? '' })}</p>}
    </FormDialog>
  );
}

/** Its dialogs are the view's: what is in a row of a table takes the clicks of the row. */
export function StorageMenu({ config, tone, onAsk, onDone }: { config: StorageConfig; tone?: 'plain' | 'ghost'; onAsk: (ask: StorageAsk) => void; onDone: () => void }) {
  if (!mayConfigure())
    return null;
  return (
    <Menu label={t('storage.actionsOf', { name: config.storage })} icon="more" isBare tone={tone ?? 'ghost'}>
      <MenuItem icon="edit" onClick={() => onAsk({ what: 'edit', config })}>{t('storage.edit')}</MenuItem>
      {config.disable
        ? <MenuItem icon="play" onClick={() => void switchStorage(config, true, onDone)}>{t('storage.enable')}</MenuItem>
        : <MenuItem icon="pause" onClick={() => void switchStorage(config, false, onDone)}>{t('storage.disable')}</MenuItem>}
      <MenuItem icon="trash" isDanger onClick={() => onAsk({ what: 'remove', config })}>{t('storage.remove')}</MenuItem>
    </Menu>
  );
}

interface DialogProps { ask: StorageAsk; onDone: () => void; /** After it is removed, where that is another thing. */ onGone?: () => void; onClose: () => void }

export function StorageDialog({ ask, onDone, onGone, onClose }: DialogProps) {
  if (!ask)
    return null;
  return ask.what === 'edit'
    ? <StorageForm config={ask.config} onDone={onDone} onClose={onClose} />
    : <RemoveDialog config={ask.config} onDone={onGone ?? onDone} onClose={onClose} />;
}
