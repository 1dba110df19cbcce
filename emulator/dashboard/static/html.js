// The only module that names the vendored library (lib/htm-preact-3.1.1.js); all others import from here.
export {
  h,
  html,
  render,
  Component,
  createContext,
  useCallback,
  useContext,
  useEffect,
  useErrorBoundary,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from "./lib/htm-preact-3.1.1.js";
