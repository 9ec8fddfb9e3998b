/** The version of the package, and of the platform packages that belong to it. */
export const VERSION = '0.1.0';
