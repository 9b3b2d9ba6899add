// Small things without a state of their own.
import { useEffect, useRef } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { percent } from '../core/format.ts';
import { setQuery } from '../core/router.ts';
import { Icon, type IconName } from './icon.tsx';

const NEARLY_FULL = 0.9, FULL = 0.97;

/** A filled part of something; what it means is said by label. */
export function Meter(p: { value: number; max: number; label: string; text?: string; /** Being full is nothing to worry about. */ isCalm?: boolean }) {
  const part = p.max > 0 ? Math.min(1, p.value / p.max) : 0;
  const tone = p.isCalm ? 'good' : part >= FULL ? 'bad' : part >= NEARLY_FULL ? 'warn' : 'good';
  return (
    <span class="meter-around">
      <svg class={`meter ${tone}`} role="meter" aria-label={p.label} aria-valuenow={Math.round(part * 100)} aria-valuemin={0} aria-valuemax={100}
        viewBox="0 0 100 4" preserveAspectRatio="none">
        <rect class="meter-part" width={part * 100} height="4" />
      </svg>
      <span class="num meter-text">{p.text ?? percent(part)}</span>
    </span>
  );
}

export function Empty(p: { icon: IconName; title: string; children?: ComponentChildren }) {
  return <div class="empty"><Icon name={p.icon} /><h2>{p.title}</h2>{p.children}</div>;
}

export function Tag({ name, onClick }: { name: string; onClick?: () => void }) {
  return onClick ? <button type="button" class="tag" onClick={onClick}>{name}</button> : <span class="tag">{name}</span>;
}

export const TagLink = ({ name }: { name: string }) => <Tag name={name} onClick={() => setQuery({ q: `tag:${name}` })} />;

/** On a narrow screen the row scrolls: the current one is in sight. */
export function Tabs(p: { label: string; tabs: readonly (readonly [href: string, text: string])[]; current: string }) {
  const ref = useRef<HTMLElement>(null);
  useEffect(() => {
    const row = ref.current, at = row?.querySelector<HTMLElement>('[aria-current]');
    if (row && at)
      row.scrollLeft = at.offsetLeft - row.offsetLeft - (row.clientWidth - at.offsetWidth) / 2;
  }, [p.current, p.tabs.length]);
  return (
    <nav ref={ref} class="tabs" aria-label={p.label}>
      {p.tabs.map(([href, text]) => <a key={href} href={href} aria-current={href === p.current ? 'page' : undefined}>{text}</a>)}
    </nav>
  );
}

export function Facts(p: { facts: readonly (readonly [string, ComponentChildren])[] }) {
  return <dl class="facts">{p.facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>;
}

export function Panel(p: { title: string; tools?: ComponentChildren; children: ComponentChildren }) {
  return <section class="panel"><header class="row"><h2 class="grow">{p.title}</h2>{p.tools}</header>{p.children}</section>;
}
