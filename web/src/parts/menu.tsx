// A menu in a native popover: it closes by itself and lies above everything. Arrow keys go through its items.
import { useId, useRef } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { Button } from './button.tsx';
import { Icon, type IconName } from './icon.tsx';

interface MenuProps { label: string; icon?: IconName; children: ComponentChildren; isBare?: boolean; tone?: 'plain' | 'ghost' }

function place(menu: HTMLElement, button: HTMLElement): void {
  const at = button.getBoundingClientRect();
  const width = menu.offsetWidth;
  const left = Math.max(8, Math.min(at.left, innerWidth - width - 8));
  const isBelow = at.bottom + menu.offsetHeight + 8 < innerHeight || at.top < menu.offsetHeight;
  menu.style.left = `${left}px`;
  menu.style.top = `${isBelow ? at.bottom + 4 : at.top - menu.offsetHeight - 4}px`;
}

export function Menu(p: MenuProps) {
  const id = useId();
  const ref = useRef<HTMLDivElement>(null);
  const items = (): HTMLElement[] => [...(ref.current?.querySelectorAll<HTMLElement>('button, input, a') ?? [])];
  const onToggle = (event: { newState: string }): void => {
    const menu = ref.current;
    const button = menu?.previousElementSibling;
    if (event.newState !== 'open' || !menu || !(button instanceof HTMLElement))
      return;
    place(menu, button);
    menu.style.visibility = '';
    items()[0]?.focus();
  };
  /** Its size is known only once it is shown: until it has its place, nobody sees it. */
  const onBefore = (event: { newState: string }): void => {
    if (event.newState === 'open' && ref.current)
      ref.current.style.visibility = 'hidden';
  };
  const onKey = (event: KeyboardEvent): void => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (!step)
      return;
    event.preventDefault();
    const all = items();
    const next = all.indexOf(document.activeElement as HTMLElement) + step;
    all[(next + all.length) % all.length]?.focus();
  };
  return (
    <span class="menu-around">
      <Button tone={p.tone ?? 'plain'} {...(p.icon ? { icon: p.icon } : {})} popover={id} {...(p.isBare ? { label: p.label } : { children: p.label })} />
      <div ref={ref} id={id} popover="auto" class="menu" onBeforeToggle={onBefore} onToggle={onToggle} onKeyDown={onKey}
        onClick={(e) => { if (e.target instanceof Element && e.target.closest('button')) ref.current?.hidePopover(); }}>
        {p.children}
      </div>
    </span>
  );
}

export function MenuItem(p: { icon?: IconName; isDanger?: boolean; children: ComponentChildren; onClick: () => void }) {
  return (
    <button type="button" class={p.isDanger ? 'menu-item bad' : 'menu-item'} onClick={p.onClick}>
      {p.icon ? <Icon name={p.icon} /> : <span class="icon" />}{p.children}
    </button>
  );
}
