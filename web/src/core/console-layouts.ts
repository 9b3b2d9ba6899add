// Keyboard layouts: which character is on which key, for those that a guest's `keyboard` can name. Facts of the layouts, as
// X and Linux have them; a combining character stands for a dead key, a blank for nothing. Loaded with the screen only.

/** Keys with characters on them, as KeyboardEvent.code names them; the levels below are in this order. */
export const CODES: readonly string[] = [
  'Backquote', 'Digit1', 'Digit2', 'Digit3', 'Digit4', 'Digit5', 'Digit6', 'Digit7', 'Digit8', 'Digit9', 'Digit0', 'Minus', 'Equal', 'KeyQ', 'KeyW',
  'KeyE', 'KeyR', 'KeyT', 'KeyY', 'KeyU', 'KeyI', 'KeyO', 'KeyP', 'BracketLeft', 'BracketRight', 'KeyA', 'KeyS', 'KeyD', 'KeyF', 'KeyG', 'KeyH', 'KeyJ',
  'KeyK', 'KeyL', 'Semicolon', 'Quote', 'Backslash', 'IntlBackslash', 'KeyZ', 'KeyX', 'KeyC', 'KeyV', 'KeyB', 'KeyN', 'KeyM', 'Comma', 'Period',
  'Slash', 'IntlRo', 'IntlYen',
];

export interface Layout {
  /** Characters of each key alone, with Shift, with AltGr. */
  levels: readonly [string, string, string];
  /** Where the character of the key alone is also on another key: one that QEMU's table has for this key only. */
  wire?: Readonly<Record<string, string>>;
}

export const LAYOUTS: Readonly<Record<string, Layout>> = {
  de: {
    levels: ['\u03021234567890ß\u0301qwertzuiopü+asdfghjklöä#<yxcvbnm,.-',
      '°!"§$%&/()=?\u0300QWERTZUIOPÜ*ASDFGHJKLÖÄ\'>YXCVBNM;:_',
      '¬¹²³¼½¬{[]}\\ @ł€¶ŧ←↓→øþ ~æſðđŋħ ĸł  ’|»«¢„“”µ·…–'],
    wire: { Backquote: '^', Equal: '´' },
  },
  'de-ch': {
    levels: ['§1234567890\'\u0302qwertzuiopü\u0308asdfghjklöä$<yxcvbnm,.-',
      '°+"*ç%&/()=?\u0300QWERTZUIOPè!ASDFGHJKLéà£>YXCVBNM;:_',
      '¬|@#¼½¬|¢]}\u0301\u0303@ł€¶ŧ←↓→œþ[]æßðđŋħ ĸł\u0301{}\\«»¢“” µ─·'],
    wire: { Backslash: '\u0306', IntlBackslash: '\\' },
  },
  da: {
    levels: ['½1234567890+\u0301qwertyuiopå\u0308asdfghjklæø\'<zxcvbnm,.-',
      '§!"#¤%&/()=?\u0300QWERTYUIOPÅ\u0302ASDFGHJKLÆØ*>ZXCVBNM;:_',
      '¾¡@£$½¥{[]}±|@ł€®þ←↓→œþ\u0308\u0303ªßðđŋħ ĸł\u0301\u0302\u030b\\«»©“” µ\u0327·'],
    wire: { Backquote: '¾', Equal: '\u0300', BracketRight: '\u0303', IntlBackslash: '\\' },
  },
  'en-gb': {
    levels: ['`1234567890-=qwertyuiop[]asdfghjkl;\'#\\zxcvbnm,./',
      '¬!"£$%^&*()_+QWERTYUIOP{}ASDFGHJKL:@~|ZXCVBNM<>?',
      '|¹²³€½¾{[]}\\\u0327@ł ¶ŧ←↓→øþ\u0308\u0303æßðđŋħ ĸł\u0301\u0302\u0300|«»¢“” µ─·'],
    wire: { BracketLeft: '\u0308', BracketRight: '\u0303', IntlBackslash: '¦' },
  },
  'en-us': {
    levels: ['`1234567890-=qwertyuiop[]asdfghjkl;\'\\<zxcvbnm,./',
      '~!@#$%^&*()_+QWERTYUIOP{}ASDFGHJKL:"|>ZXCVBNM<>?',
      '                                     |'],
    wire: { IntlBackslash: '¦' },
  },
  es: {
    levels: ['º1234567890\'¡qwertyuiop\u0300+asdfghjklñ\u0301ç<zxcvbnm,.-',
      'ª!"·$%&/()=?¿QWERTYUIOP\u0302*ASDFGHJKLÑ\u0308Ç>ZXCVBNM;:_',
      '\\|@#~½¬{[]}\\\u0303@ł€¶ŧ←↓→øþ[]æßðđŋħ ĸł~{}|«»¢“” µ─·'],
    wire: { Equal: '\u0303', IntlBackslash: '¦' },
  },
  fi: {
    levels: ['§1234567890+\u0301qwertyuiopå\u0308asdfghjklöä\'<zxcvbnm,.-',
      '½!"#¤%&/()=?\u0300QWERTYUIOPÅ\u0302ASDFGHJKLÖÄ*>ZXCVBNM;:_',
      '  @£$‰‚{[]}\\\u0327  € þ  ıœ \u030b\u0303əßð    ĸ øæ\u030c|ʒ×   ŋµ’ –'],
    wire: { IntlBackslash: '¦' },
  },
  fr: {
    levels: ['²&é"\'(-è_çà)=azertyuiop\u0302$qsdfghjklmù*<wxcvbn,;:!',
      '~1234567890°+AZERTYUIOP\u0308£QSDFGHJKLM%µ>WXCVBN?./§',
      '¬¹~#{[|`\\^@]}æ«€¶ŧ←↓→øþ\u0308¤@ßðđŋħ ĸłµ^`|ł»¢“” ´─·'],
    wire: { Digit1: '1', BracketLeft: '¨', BracketRight: '¤', IntlBackslash: '¦' },
  },
  'fr-be': {
    levels: ['²&é"\'(§è!çà)-azertyuiop\u0302$qsdfghjklmùµ<wxcvbn,;:=',
      '³1234567890°_AZERTYUIOP\u0308*QSDFGHJKLM%£>WXCVBN?./+',
      '¬|@#¼½^{[{}\\\u0327@ł€¶ŧ←↓→œþ[]æßðđŋħ ĸł\u0301\u0301\u0300\\«»¢“” \u0327─·\u0303'],
    wire: { Digit1: '1', Digit6: '6', BracketRight: '*' },
  },
  'fr-ca': {
    levels: ['#1234567890-=qwertyuiop\u0302\u0327asdfghjkl;\u0300<«zxcvbnm,.é',
      '|!"/$%?&*()_+QWERTYUIOP \u0308ASDFGHJKL: >»ZXCVBNM\' É',
      '\\±@£¢¤¬¦²³¼½¾        §¶[]         ~{}°      µ¯\u00ad\u0301'],
  },
  'fr-ch': {
    levels: ['§1234567890\'\u0302qwertzuiopè\u0308asdfghjkléà$<yxcvbnm,.-',
      '°+"*ç%&/()=?\u0300QWERTZUIOPü!ASDFGHJKLöä£>YXCVBNM;:_',
      '¬|@#¼½¬|¢]}\u0301\u0303@ł€¶ŧ←↓→œþ[]æßðđŋħ ĸł\u0301{}\\«»¢“” µ─·'],
    wire: { Backslash: '\u0306', IntlBackslash: '\\' },
  },
  hu: {
    levels: ['0123456789öüóqwertzuiopőúasdfghjkléáűíyxcvbnm,.-',
      '§\'"+!%/=()ÖÜÓQWERTZUIOPŐÚASDFGHJKLÉÁŰÍYXCVBNM?:_',
      '¬~\u030c^\u0306\u030a\u0328`\u0307\u0301\u030b\u0308\u0327\\|Ä¶ŧ–€Í„”÷×äđĐ[]ħíłŁ$ß¤<>#&@{}<;>*'],
  },
  is: {
    levels: ['\u030a1234567890ö-qwertyuiopð\'asdfghjklæ\u0301+<zxcvbnm,.þ',
      '\u0308!"#$%&/()=Ö_QWERTYUIOPÐ?ASDFGHJKLÆ *>ZXCVBNM;:Þ',
      '¬¹²³¼½¬{[]}\\\u0327@ł€¶ŧ←↓→øþ\u0308~æß„đŋħ ĸł^\u0302`|«»¢“” µ─·'],
    wire: { Backquote: '\u00ad', Semicolon: '^', IntlBackslash: '|' },
  },
  it: {
    levels: ['\\1234567890\'ìqwertyuiopè+asdfghjklòàù<zxcvbnm,.-',
      '|!"£$%&/()=?^QWERTYUIOPé*ASDFGHJKLç°§>ZXCVBNM;:_',
      '¬¹²³¼½¬{[]}`~@ł€¶ŧ←↓→øþ[]æßðđŋħ ĸł@#\u0300««»¢“”ñµ\u0301·'],
  },
  ja: {
    levels: [' 1234567890-^qwertyuiop@[asdfghjkl;:]<zxcvbnm,./\\\\',
      ' !"#$%&\'()~=~QWERTYUIOP`{ASDFGHJKL+*}>ZXCVBNM<>?_|',
      '                                     |'],
    wire: { IntlBackslash: '¦' },
  },
  lt: {
    levels: ['`ąčęėįšųū„“-žqwertyuiop[]asdfghjkl;\'\\–zxcvbnm,./',
      '~ĄČĘĖĮŠŲŪ()_ŽQWERTYUIOP{}ASDFGHJKL:"|€ZXCVBNM<>?',
      '´1234567890–=@ł€¶ŧ←↓→øþ\u0308\u0303æßðđŋħ ĸł\u0301\u0302\u0300|«»¢“” µ─·'],
    wire: { Digit0: ')', IntlBackslash: '¦' },
  },
  mk: {
    levels: ['\u03001234567890-=љњертѕуиопшѓасдфгхјклчќж<зџцвбнм,./',
      '~!„“$%^&*()_+ЉЊЕРТЅУИОПШЃАСДФГХЈКЛЧЌЖ>ЗЏЦВБНМ;:?',
      '                                     |'],
  },
  nl: {
    levels: ['@1234567890/°qwertyuiop\u0308*asdfghjkl+\u0301<]zxcvbnm,.-',
      '§!"#$%&_()\'?\u0303QWERTYUIOP\u0302|ASDFGHJKL±\u0300>[ZXCVBNM;:=',
      '¬¹²³¼½¾£{}°\\\u0327@ł€¶þÿüïò¶~\u0303áßðªŋħ ĸł\u0301\'\u0300|«»¢“”ñμ¸·\u00ad'],
    wire: { Backquote: '¬', Equal: '\u0327', Quote: '`', Backslash: '\u0306', IntlBackslash: '¦' },
  },
  no: {
    levels: ['|1234567890+\\qwertyuiopå\u0308asdfghjkløæ\'<zxcvbnm,.-',
      '§!"#¤%&/()=?\u0300QWERTYUIOPÅ\u0302ASDFGHJKLØÆ*>ZXCVBNM;:_',
      '¦¡@£$½¥{[]}±\u0301@ł€®þ←↓→œπ\u0308\u0303ªßðđŋħ ĸł\u0301\u0302\u030b½«»©“” µ\u0327…–'],
    wire: { Minus: '?', BracketRight: '\u0303', IntlBackslash: '¾' },
  },
  pl: {
    levels: ['`1234567890-=qwertyuiop[]asdfghjkl;\'\\<zxcvbnm,./',
      '~!@#$%^&*()_+QWERTYUIOP{}ASDFGHJKL:"|>ZXCVBNM<>?',
      '¬≠²³¢€½§·«»–\u0327πœę©ß←↓→óþ\u0308\u0303ąśðæŋ’ə…ł\u0301\u0302\u0300|żźć„”ńµ≤≥'],
    wire: { IntlBackslash: '¦' },
  },
  pt: {
    levels: ['\\1234567890\'«qwertyuiop+\u0301asdfghjklçº\u0303<zxcvbnm,.-',
      '|!"#$%&/()=?»QWERTYUIOP*\u0300ASDFGHJKLÇª\u0302>ZXCVBNM;:_',
      '¬¹@£§½¬{[]}\\\u0327@ł€¶ŧ←↓→øþ\u0308\u0303æßðđŋħ ĸł\u0301\u0302\u0300\\«»¢“” µ─·'],
    wire: { Backquote: '|', Equal: '\u0327', Quote: '\u030c', Backslash: '\u0306' },
  },
  'pt-br': {
    levels: ['\'1234567890-=qwertyuiop\u0301[asdfghjklç\u0303]\\zxcvbnm,.;/',
      '"!@#$%\u0308&*()_+QWERTYUIOP\u0300{ASDFGHJKLÇ\u0302}|ZXCVBNM<>:?',
      '¬¹²³£¢¬{[]}\\§/?€®ŧ←↓→øþ´ªæßðđŋħ ĸł\u0301~ºº«»©“” µ─· °'],
    wire: { BracketLeft: '\u0300', Backslash: 'º', IntlBackslash: '|' },
  },
  sv: {
    levels: ['§1234567890+\u0301qwertyuiopå\u0308asdfghjklöä\'<zxcvbnm,.-',
      '½!"#¤%&/()=?\u0300QWERTYUIOPÅ\u0302ASDFGHJKLÖÄ*>ZXCVBNM;:_',
      '  @£$  {[]}\\   €        \u0303            |      µ'],
    wire: { Equal: '´' },
  },
  sl: {
    levels: ['\u03271234567890\'+qwertyuiopšđasdfghjklčćž<zxcvbnm,.-',
      ' !"#$%&/()=?*QWERTYUIOPŠĐASDFGHJKLČĆŽ>ZXCVBNM;:_',
      '¬~\u030c^\u0306°\u0328`\u0307\u0301\u030b\u0308\u0327\\|€¶ŧ←↓→øþ÷×æßð[]ħ łŁ ß¤|«»¢@{}§─·'],
    wire: { Backquote: '¬' },
  },
  tr: {
    levels: ['"1234567890*-qwertyuıopğüasdfghjklşi,<zxcvbnmöç.',
      'é!\'^+%&/()=?_QWERTYUIOPĞÜASDFGHJKLŞİ;>ZXCVBNMÖÇ:',
      '<>£#$½¾{[]}\\|@ €¶₺←ûîô \u0308~â§ ª     ´\'`|«»¢“” µ×·\u0307'],
    wire: { IntlBackslash: '¦' },
  },
};

/** X's numbers of characters beyond Latin-1 and of dead keys; all others are their own. */
export const KEYSYMS: Readonly<Record<string, number>> = {
  '\u0302': 0xfe52, '\u0308': 0xfe57, '\u0306': 0xfe55, '\u0300': 0xfe50, '\u0303': 0xfe53, '\u0301': 0xfe51, '\u0327': 0xfe5b, 'ő': 0x1f5,
  'ű': 0x1fb, 'ą': 0x1b1, 'č': 0x1e8, 'ę': 0x1ea, 'ė': 0x3ec, 'į': 0x3e7, 'š': 0x1b9, 'ų': 0x3f9, 'ū': 0x3fe, '„': 0xafe, 'ž': 0x1be, 'љ':
  0x6a9, 'њ': 0x6aa, 'е': 0x6c5, 'р': 0x6d2, 'т': 0x6d4, 'ѕ': 0x6a5, 'у': 0x6d5, 'и': 0x6c9, 'о': 0x6cf, 'п': 0x6d0, 'ш': 0x6db, 'ѓ': 0x6a2,
  'а': 0x6c1, 'с': 0x6d3, 'д': 0x6c4, 'ф': 0x6c6, 'г': 0x6c7, 'х': 0x6c8, 'ј': 0x6a8, 'к': 0x6cb, 'л': 0x6cc, 'ч': 0x6de, 'ќ': 0x6ac, 'ж':
  0x6d6, 'з': 0x6da, 'џ': 0x6af, 'ц': 0x6c3, 'в': 0x6d7, 'б': 0x6c2, 'н': 0x6ce, 'м': 0x6cd, '\u030c': 0xfe5a, 'đ': 0x1f0, 'ć': 0x1e6, 'ı':
  0x2b9, 'ğ': 0x2bb, 'ş': 0x1ba,
};
