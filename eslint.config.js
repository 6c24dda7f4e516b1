import eslint from "@eslint/js";
import tseslint from "typescript-eslint";

// What a place must not import, and what to do instead. Dependencies run one way:
// proto → gen → model → radios/radio.ts → { client, server, each radio } → cli.
const gen = {
  regex: "/gen/",
  message: "Generated code is read by model/ and radios/grpc/ only: import its types and codecs from model/.",
};
const cli = {
  regex: "/cli/",
  message: "The command line is the outermost place: take what is needed from it as an argument.",
};
const client = {
  regex: "/client/",
  message: "The client is met at radios/radio.ts and the envelope: put what both need into model/ or base/.",
};
const server = {
  regex: "/server/",
  message: "The server is met at radios/radio.ts and the envelope: put what both need into model/ or base/.",
};
const anyRadio = {
  regex: "/radios/",
  message: "model/ holds words only: let the radio import it.",
};
const oneRadio = {
  regex: "/radios/[^./]+/",
  message: "A radio is known to itself and to built-in.ts only: go through radios/radio.ts and the registry.",
};
const below = { regex: "^\\./[^./]+/", message: oneRadio.message };
const sibling = {
  regex: "^\\.\\./[^./]+/",
  message: "A radio knows no other radio: put what both need beside radios/radio.ts.",
};
const outside = {
  regex: "^\\.\\./",
  message: "base/ knows nothing of Parsl and of this project: move what needs it to the place that does.",
};
const sources = {
  regex: "/src/",
  message: "Whoever reads it has the package alone: import from parsl-collector.",
};

const beyondApi = {
  regex: "/(agent|base|cli|client|gen|model|radios|server|spool)/|/view/(?!api\\.js)",
  message: "The page knows the collector by its API alone: import types from view/api.ts.",
};

/** Globals of Node that the scripts use. */
const nodeGlobals = [
  "clearInterval",
  "clearTimeout",
  "console",
  "fetch",
  "performance",
  "process",
  "setInterval",
  "setTimeout",
  "URL",
];

export default tseslint.config(
  { ignores: ["build/", "src/gen/", ".venv/", "demo-run/", "coverage/"] },
  eslint.configs.recommended,
  {
    files: ["**/*.ts", "**/*.tsx"],
    extends: [tseslint.configs.strictTypeChecked],
    // Whole programs at once; projectService, which is made for editors, takes a fifth more CPU.
    languageOptions: { parserOptions: { project: true } },
    rules: {
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/explicit-module-boundary-types": "error",
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-invalid-void-type": "off", // does not know Promise.withResolvers<void>()
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
    },
  },
  {
    files: ["**/*.mjs", "**/*.js"],
    languageOptions: { globals: Object.fromEntries(nodeGlobals.map((name) => [name, "readonly"])) },
  },
  place("src/base/**", outside),
  place("src/model/**", anyRadio, client, server, cli),
  place("src/radios/*.ts", gen, below, client, server, cli),
  place("src/radios/built-in.ts", gen, client, server, cli),
  place("src/radios/*/**", gen, sibling, client, server, cli),
  place("src/radios/grpc/**", sibling, client, server, cli),
  place("src/client/**", gen, oneRadio, server, cli),
  place("src/server/**", gen, oneRadio, client, cli),
  place("src/server/collector.ts", gen, client, cli), // it opens the receivers
  place("src/why/**", gen, client, server, cli),
  place("src/view/**", gen, client, oneRadio, cli),
  place("src/cli/**", gen),
  place("src/web/**", beyondApi),
  place("src/index.ts", gen, server, cli),
  place("clients/**", sources),
);

function place(files, ...patterns) {
  return { files: [files], rules: { "no-restricted-imports": ["error", { patterns }] } };
}
