import{a,b}from"./chunk-S4HYRDE3.js";import"./chunk-SQE76S5B.js";export{a as decodeLz4,b as default};
