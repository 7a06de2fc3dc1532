import{a as r}from"./chunk-EHDCGLKA.js";import"./chunk-SQE76S5B.js";var e=class t{kind="bytes_to_bytes";static fromConfig(){return new t}decode(o){return r(o)}};export{e as default};
