int data = 7;
__attribute__((noipa)) void moved(int a) { (void)a; }
__attribute__((noipa)) void stays(int a) { (void)a; }
int main(void) { moved(1); stays(2); return data; }
