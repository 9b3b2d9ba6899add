// What somebody chose for the consoles in this browser. Layouts are a matter of each guest.
type Name = 'keys' | 'paste' | 'aloud';

const keyOf = (name: Name, vmid: number): string => `holm.console.${name}${name === 'aloud' ? '' : `.${vmid}`}`;

export const choice = (name: Name, vmid: number): string => localStorage.getItem(keyOf(name, vmid)) ?? '';

export function choose(name: Name, vmid: number, value: string): void {
  if (value)
    localStorage.setItem(keyOf(name, vmid), value);
  else
    localStorage.removeItem(keyOf(name, vmid));
}
