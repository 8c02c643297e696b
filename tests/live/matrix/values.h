/* What the two units of the program share. */
void say(const char *name, const char *format, ...);
extern volatile long sink;
int m_elsewhere(int a, const char *b, long c);
int m_beside(int a, long b);
