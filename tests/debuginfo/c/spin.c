// A function whose first statement is a loop's head.
int sink;
void spin(int n) {
    do { sink += n; } while (--n);
}
int main(void) {
    spin(3);
    return 0;
}
