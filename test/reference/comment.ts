/** comment: a documentation comment as Markdown. */

/** Gives the address of a name's section, or undefined when it has none. */
export type Addresses = (name: string) => string | undefined;

/** A documentation comment as paragraphs, lists and examples. */
export function markdownOf(comment: string, addresses: Addresses): string {
  const [text = '', ...tags] = comment.split(/^@/m);
  const parameters: string[] = [];
  const rest: string[] = [];
  for (const tag of tags) {
    const [, name = '', body = ''] = /^(\w+)\s*([\s\S]*)$/.exec(tag.trimEnd()) ?? [];
    if (name === 'param') parameters.push(body.replace(/^(\w+)\s*/, (_, parameter: string) => `- \`${parameter}\`: `));
    else if (name === 'returns') rest.push(`Returns ${body}`);
    else if (name === 'throws') rest.push(sentence(`Throws ${body.replace(/^(SluiceError|CloseError|TypeError)\b/, '`$1`')}`));
    else if (name === 'example') rest.push(`\`\`\`ts\n${body}\n\`\`\``);
    else if (name === 'template' || name === 'typeParam') rest.push(body);
  }
  const blocks = [text.trim(), parameters.join('\n'), ...rest].filter((block) => block !== '');
  return linked(blocks.join('\n\n'), addresses);
}

/** A comment in one line, for a cell of a table. Tags but `@throws` are left out. */
export function lineOf(comment: string, addresses: Addresses): string {
  const [text = '', ...tags] = comment.split(/^@/m);
  const throws = tags.filter((tag) => tag.startsWith('throws')).map((tag) => sentence(`Throws ${tag.slice(6).trim()}`));
  return cell(linked([text, ...throws].join(' '), addresses));
}

/** The first sentence of a comment. */
export function firstSentence(comment: string, addresses: Addresses): string {
  const text = comment
    .split(/^@/m)[0]!
    .split(/\n\s*\n/)[0]!
    .replace(/\s+/g, ' ')
    .trim();
  return cell(linked(/^.*?[.:](?= [A-Z`{]|$)/.exec(text)?.[0].replace(/:$/, '.') ?? text, addresses));
}

/** Text for a cell of a table. */
export function cell(text: string): string {
  return text.replace(/\s+/g, ' ').trim().replaceAll('|', '\\|');
}

function sentence(text: string): string {
  return /[.:;]$/.test(text) ? text : `${text}.`;
}

function linked(text: string, addresses: Addresses): string {
  return text.replace(/\{@link(?:code)?\s+([\w.]+)\s*\|?\s*([^}]*)\}/g, (_, name: string, label: string) => {
    const address = addresses(name.split('.')[0]!);
    const shown = label === '' ? `\`${name}\`` : label;
    return address === undefined ? shown : `[${shown}](${address})`;
  });
}
