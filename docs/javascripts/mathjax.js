// Typeset what pymdownx.arithmatex marks, and nothing else, on pages that have a formula. MathJax
// lies beside this file, so that the pages need no network. Its menu would load what does not.
window.MathJax = {
  tex: { inlineMath: [["\\(", "\\)"]], displayMath: [["\\[", "\\]"]] },
  options: { ignoreHtmlClass: ".*|", processHtmlClass: "arithmatex", enableMenu: false },
};
if (document.querySelector(".arithmatex")) {
  const script = document.createElement("script");
  script.src = new URL("mathjax/tex-svg.js", document.currentScript.src).href;
  document.head.append(script);
}
