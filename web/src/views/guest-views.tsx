// Saved views of the guest list: a name for one, other names, away with one. They are kept in this browser.
import { useState } from 'preact/hooks';
import { t } from '../core/i18n.ts';
import { savedViews, type SavedView } from '../core/prefs.ts';
import { place, setQuery } from '../core/router.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Field } from '../parts/field.tsx';
import { openView, presentView } from './guest-list-tools.tsx';

function Save({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState('');
  const others = savedViews.value;
  const isTaken = others.some((v) => v.name === name.trim());
  const save = (event: Event): void => {
    event.preventDefault();
    const view = presentView(name.trim());
    savedViews.value = [...others.filter((v) => v.name !== view.name), view];
    openView(view, true);
    onClose();
  };
  return (
    <form class="stack" onSubmit={save}>
      <Field label={t('guests.view.name')} value={name} onInput={setName} isRequired hasFocus help={t(isTaken ? 'guests.view.taken' : 'guests.view.help')} />
      <footer class="row dialog-foot"><Button onClick={onClose}>{t('cancel')}</Button><Button type="submit" tone="main" isDisabled={!name.trim()}>{t('save')}</Button></footer>
    </form>
  );
}

function Entry({ view }: { view: SavedView }) {
  const [name, setName] = useState(view.name);
  const isOpen = (): boolean => place.peek().query.get('view') === view.name;
  const isWrong = !name.trim() || (name.trim() !== view.name && savedViews.value.some((v) => v.name === name.trim()));
  const rename = (event: Event): void => {
    event.preventDefault();
    if (isOpen())
      setQuery({ view: name.trim() });
    savedViews.value = savedViews.value.map((v) => (v === view ? { ...v, name: name.trim() } : v));
  };
  const remove = (): void => {
    if (isOpen())
      setQuery({ view: null });
    savedViews.value = savedViews.value.filter((v) => v !== view);
  };
  return (
    <li><form class="row" onSubmit={rename}>
      <div class="grow"><Field label={t('guests.view.nameOf', { name: view.name })} value={name} onInput={setName} /></div>
      <Button type="submit" icon="check" label={t('guests.view.rename', { name: view.name })} isDisabled={isWrong || name.trim() === view.name} />
      <Button icon="trash" label={t('guests.view.delete', { name: view.name })} onClick={remove} />
    </form></li>
  );
}

export default function ViewDialog({ isSaving, onClose }: { isSaving: boolean; onClose: () => void }) {
  return (
    <Dialog title={t(isSaving ? 'guests.view.save' : 'guests.view.manage')} onClose={onClose}>
      {isSaving ? <Save onClose={onClose} /> : savedViews.value.length
        ? <ul class="stack saved-views">{savedViews.value.map((v) => <Entry key={v.name} view={v} />)}</ul>
        : <p class="quiet">{t('guests.view.none')}</p>}
    </Dialog>
  );
}
