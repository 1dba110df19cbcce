// Sets the theme before the first paint. Without a choice of the user the stylesheet follows the system.
(() => {
  const theme = localStorage.getItem("azemu.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
