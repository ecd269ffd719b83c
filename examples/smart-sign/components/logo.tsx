/** A sign hanging from a beam, with the light of a screen in it. */
export function Logo({ size = 32 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path d="M2 5.5h28" stroke="currentColor" strokeWidth="3" strokeLinecap="round" />
      <path d="M9 5.5V11M23 5.5V11" stroke="currentColor" strokeWidth="2" />
      <rect x="3" y="11" width="26" height="17" rx="4" fill="var(--brand)" />
      <path d="M8.5 17h15M8.5 22h9" stroke="#fff" strokeWidth="2.4" strokeLinecap="round" />
    </svg>
  );
}
