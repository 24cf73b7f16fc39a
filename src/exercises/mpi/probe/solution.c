/* Texts of any length: MPI_Probe(3), MPI_Get_count(3), MPI_Recv(3), MPI_Send(3).

   mpicc -Wall texts.c -o texts; mpiexec -n 2 ./texts texts hello world */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 1, END = 2 }; /* the tags */

static void receiver(void)
{
    for (;;) {
        MPI_Status status;
        int length;
        //[
        /* sleeps, or spins, until a message has come, and leaves it where it is */
        MPI_Probe(1, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
        MPI_Get_count(&status, MPI_CHAR, &length);
        char *text = malloc(length + 1);
        if (text == NULL)
            MPI_Abort(MPI_COMM_WORLD, (perror("malloc"), 1));
        MPI_Recv(text, length, MPI_CHAR, 1, status.MPI_TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        //]
        //| char text[16];
        //| /* sleeps, or spins, until a message has come */
        //| MPI_Recv(text, sizeof text, MPI_CHAR, 1, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
        //| MPI_Get_count(&status, MPI_CHAR, &length);
        if (status.MPI_TAG == END)
            break;
        printf("%.*s\n", length, text);
        //[
        free(text);
        //]
    }
}

static void sender(char *texts[])
{
    for (; *texts; texts++)
        MPI_Send(*texts, strlen(*texts), MPI_CHAR, 0, TEXT, MPI_COMM_WORLD);
    MPI_Send(NULL, 0, MPI_CHAR, 0, END, MPI_COMM_WORLD);
}

int main(int argc, char *argv[])
{
    if (argc < 2 || strcmp(argv[1], "texts") != 0)
        return fprintf(stderr, "usage: texts MESSAGE...\n"), 2;
    MPI_Init(&argc, &argv); /* sleeps until all ranks are there */
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0)
        receiver();
    else
        sender(argv + 2);
    MPI_Finalize(); /* sleeps until all ranks have come to it */
}
