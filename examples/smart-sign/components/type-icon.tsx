import type { AnnouncementType } from '@/lib/announcement';

const PATHS: Record<AnnouncementType, string> = {
  urgent: 'M12 3 2.5 20h19L12 3Zm0 6.5v5m0 2.6v.2',
  facility: 'M5 21V4h10v17M15 10h4v11M3 21h18M8.5 8h3M8.5 12h3M8.5 16h3',
  event: 'M4 6h16v14H4V6Zm0 5h16M8.5 3v5M15.5 3v5',
  opportunity: 'M12 21v-9m0 0c0-4 2.5-6.5 8-7 0 5-2.5 7.5-8 7Zm0 3c0-3.5-2.5-5.5-7.5-6 0 4.5 2.5 6.5 7.5 6Z',
  administrative: 'M6 3h9l4 4v14H6V3Zm8.5 0v4.500H19M9.5 12h6M9.5 16h6',
};

export function TypeIcon({ type, size = '1em' }: { type: AnnouncementType; size?: string }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="2.1"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[type]} />
    </svg>
  );
}
